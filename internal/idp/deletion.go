package idp

import "time"

// DeletionMode says what becomes of a person's wish to have their account
// deleted.
type DeletionMode string

// The modes.
const (
	DeletionOff     DeletionMode = "off"     // people cannot ask
	DeletionRequest DeletionMode = "request" // an operator sees it, and deletes
	DeletionSelf    DeletionMode = "self"    // the account ends at once, and goes after a while
)

// DeletionRule is what becomes of it here, and in DeletionSelf after how long.
type DeletionRule struct {
	Mode  DeletionMode
	After time.Duration
}
