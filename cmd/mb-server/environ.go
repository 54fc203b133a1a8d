package main

import "strings"

// isSet tells whether the environment has a value for name. environ is in the form of os.Environ.
func isSet(environ []string, name string) bool {
	for _, line := range environ {
		if key, value, _ := strings.Cut(line, "="); key == name && value != "" {
			return true
		}
	}
	return false
}
