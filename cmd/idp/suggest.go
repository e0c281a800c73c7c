package main

import "strings"

// didYouMean ends a sentence about an unknown name with the nearest known one,
// or with a full list when there is none near and the list is short.
func didYouMean(name string, known []string) string {
	best, distance := "", len(name)/2+1
	for _, candidate := range known {
		if d := editDistance(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best != "" {
		return ", did you mean " + best + "?"
	}
	if len(known) <= 12 {
		return ", known are " + strings.Join(known, ", ")
	}
	return ""
}

// editDistance is the number of letters to insert, delete or replace
// (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above+1, row[j]+1, diagonal+cost)
			diagonal = above
		}
	}
	return row[len(b)]
}
