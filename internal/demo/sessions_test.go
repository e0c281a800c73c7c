package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSessionsAreBoundedAndEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newSessions(func() time.Time { return now })

	first := s.add(&session{})
	for range maxSessions {
		now = now.Add(time.Millisecond)
		s.add(&session{})
	}
	require.Len(t, s.live, maxSessions)
	_, ok := s.get(first)
	require.False(t, ok, "the oldest went")

	last := s.add(&session{})
	_, ok = s.get(last)
	require.True(t, ok)
	now = now.Add(sessionLifetime)
	_, ok = s.get(last)
	require.False(t, ok, "a session ends")
}

func TestFlowsAreBoundedAndEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newSessions(func() time.Time { return now })
	for range maxFlows + 1 {
		now = now.Add(time.Millisecond)
		s.begin("b", "n", "v", false)
	}
	require.Len(t, s.flows, maxFlows)

	state := s.begin("b", "n", "v", false)
	now = now.Add(flowLifetime)
	_, ok := s.finish(state, "b")
	require.False(t, ok, "a sign-in may not take for ever")
}

func TestSpansAddUpToTheDocument(t *testing.T) {
	t.Parallel()
	raw := `{"sub":"a \"quoted\" } , name","exp":1767323045,"ok":true,"none":null,"list":["x",1.5e3],"empty":{}}`
	want, ok := indent([]byte(raw))
	require.True(t, ok)
	var text strings.Builder
	notes := map[string]string{}
	for _, s := range spans([]byte(raw)) {
		text.WriteString(s.Text)
		if s.Note != "" {
			notes[s.Text] = s.Note
		}
	}
	require.Equal(t, want, text.String())
	require.Equal(t, map[string]string{"1767323045": "2026-01-02 03:04:05 UTC"}, notes)
	require.Equal(t, []span{{Text: "not {json"}}, spans([]byte("not {json")))
}

func TestOpaqueTokensStayOpaque(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "idp_at_abc", "a.b", "!.e30.x", "e30.!.x"} {
		require.True(t, decodeToken(raw).Opaque, raw)
	}
	require.False(t, decodeToken("e30.e30.x").Opaque)
}
