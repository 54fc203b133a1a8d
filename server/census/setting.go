package census

// Setting is one key of the configuration.
type Setting struct {
	Key     string
	Value   string // in force, as YAML and JSON on one line; "" when Hidden
	Default string
	Unit    string
	Source  string // default, or who set it
	Env     string // environment variable, "" when there is none
	Flag    string
	Meaning string

	Live    bool   // a change takes effect when the configuration is read again
	Pending string // what takes effect at the next start, as the last reload saw it; "": the same
	Secret  bool   // the value is not shown
	Roles   bool   // it says what others may do
}
