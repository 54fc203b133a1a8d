package proc

import "testing"

func TestTail(t *testing.T) {
	var said Tail
	for _, part := range []string{"one\ntw", "o\n", `{"level":"INFO"}` + "\n", "three\nfo"} {
		_, _ = said.Write([]byte(part)) // It cannot fail.
	}
	if got := said.String(); got != "one\ntwo\nthree\n" {
		t.Errorf("got %q", got)
	}
}
