package census

// Setting is one key of the configuration. Values are as YAML and JSON on one line.
type Setting struct {
	Key     string
	Value   *string // in force; nil: it is secret, or too long
	Default string
	Unit    string // "" when it has none
	Source  string // begins with one of the words below
	Env     string // environment variable, "" when there is none
	Flag    string // without its dashes, "" when only --set reaches it
	Meaning string

	Live    bool    // a change takes effect when the configuration is read again
	File    *string // what the configuration file says, where something else wins; nil: nothing
	Line    string  // where it says so
	Pending *string // takes effect at the next start, as the last reload found; nil: none
	Secret  bool    // its value is for nobody
	Roles   bool    // it says what others may do
}

// Where a value came from: what Source begins with.
const (
	SourceDefault     = "default"
	SourceFile        = "file"
	SourceEnvironment = "environment"
	SourceFlag        = "flag"
	SourceProgram     = "program" // who has started the node in his own process
)

// Reading is how the configuration was read while the node ran.
type Reading struct {
	At      int64  // Unix ms: when it was read last; 0: not since the start
	Fault   string // why what was read then was not taken; "": it was
	Changes []Change
}

// Change is what a reading has found of a key that was different before: in force from then on when
// Live, else at the next start. Values are as in Setting.
type Change struct {
	At       int64 // Unix ms
	Key      string
	From, To string
	Live     bool
	Roles    bool // it says what others may do
}
