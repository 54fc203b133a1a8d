package build

import (
	"runtime/debug"
	"testing"
)

func TestCommit(t *testing.T) {
	for _, tt := range []struct {
		revision, modified, want string
	}{
		{"", "", ""}, {"", "true", ""},
		{"0123456789abcdef0123456789abcdef01234567", "false", "0123456789ab"},
		{"0123456789abcdef0123456789abcdef01234567", "true", "0123456789ab+changes"},
		{"short", "", "short"},
	} {
		got := commitOf([]debug.BuildSetting{
			{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: tt.revision},
			{Key: "vcs.modified", Value: tt.modified},
		})
		if got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
