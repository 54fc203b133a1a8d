package broker

import "log/slog"

// modules are who speaks in the node's log (protocol §8), each about its own. A line names whom it
// is about in its message, behind a colon, so that it can be read without its attributes; what
// stands before the colon is the same for all of its kind.
type modules struct {
	node         *slog.Logger // the node as a whole
	connection   *slog.Logger // connections that come, go, or do not keep up
	registry     *slog.Logger // what services call themselves
	subscription *slog.Logger
	router       *slog.Logger // messages that were refused
	auth         *slog.Logger // who is locked out
	admin        *slog.Logger // what operators have done
}

func modulesOf(log *slog.Logger) modules {
	of := func(name string) *slog.Logger { return log.With("module", name) }
	return modules{
		of("node"), of("connection"), of("registry"), of("subscription"), of("router"), of("auth"),
		of("admin"),
	}
}

// name is what the log calls s: what it registered as, else its ID. Any goroutine.
func (s *service) name() string {
	if p := s.profile(); p != nil {
		return p.Name
	}
	return s.id.String()
}
