package server

type admin struct{}

func startAdmin(*Node) (*admin, error) { return nil, nil }
func (a *admin) addr() string          { return "" }
func (a *admin) close()                {}
