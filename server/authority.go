package server

import (
	"errors"
	"strings"

	"mbserver/server/auth"
	"mbserver/server/broker"
	"mbserver/server/config"
	"mbserver/server/permit"
)

// authorityOf makes a node's authority of its configuration. It reads the files that this names. An
// error joins all faults that it finds, each an *config.Error.
func authorityOf(cfg *config.Config) (*broker.Authority, error) {
	verifier, err := auth.New(sourceOf(&cfg.Auth))
	if err != nil {
		var bad *auth.Error
		if errors.As(err, &bad) {
			err = &config.Error{Key: "auth." + bad.Key, Reason: bad.Err.Error()}
		}
	}
	policy, err2 := permit.Compile(permissionsOf(cfg))
	if err2 != nil {
		var bad *permit.Error
		if errors.As(err2, &bad) {
			err2 = &config.Error{Key: "permissions." + bad.Key, Reason: bad.Err.Error()}
		}
	}
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	if err := sameName(verifier.Identities(), cfg.Permissions.Identities); err != nil {
		return nil, err
	}
	return &broker.Authority{
		Verifier: verifier, Policy: policy, Required: cfg.Auth.Demanded(),
	}, nil
}

// Check finds out what is wrong with a configuration and with the files that it names, beyond what
// config.Load has found. Any goroutine.
func Check(cfg *config.Config) error {
	_, err := authorityOf(cfg)
	return err
}

// sameName refuses two identities that the configuration knows and that differ only in case: they
// would be one in {identity}.
func sameName(ofTokens []string, named config.Identities) error {
	seen := make(map[string]string)
	for _, identity := range ofTokens {
		small := strings.ToLower(identity)
		if other, ok := seen[small]; ok && other != identity {
			return &config.Error{Key: "auth.tokens", Value: identity,
				Reason: "differs from " + other + " only in case"}
		}
		seen[small] = identity
	}
	for identity := range named {
		if other, ok := seen[strings.ToLower(identity)]; ok && other != identity {
			return &config.Error{Key: "permissions.identities", Value: identity,
				Reason: "differs from " + other + " of auth.tokens only in case"}
		}
	}
	return nil
}

func sourceOf(a *config.Auth) auth.Source {
	s := auth.Source{
		Signed: auth.Signed{
			KeySet: a.JWT.Keys.Set, Issuer: a.JWT.Issuer, Audience: a.JWT.Audience,
			Leeway: a.JWT.Leeway, Identity: a.JWT.IdentityClaim, Roles: a.JWT.RolesClaim,
		},
		Certificate: auth.Certificate{CA: a.Certificate.CA, Identity: a.Certificate.Identity},
	}
	for _, k := range a.JWT.Keys.Files {
		s.Signed.Keys = append(s.Signed.Keys,
			auth.KeyFile{ID: k.KID, Algorithm: k.Alg, File: k.File})
	}
	for _, t := range a.Tokens {
		one := auth.Token{Identity: t.Identity, SHA256: t.SHA256, Roles: t.Roles}
		if t.Expires != nil {
			one.Expires = *t.Expires
		}
		s.Tokens = append(s.Tokens, one)
	}
	return s
}

func permissionsOf(cfg *config.Config) permit.Source {
	p := &cfg.Permissions
	s := permit.Source{
		Roles:      make(map[string]permit.Role, len(p.Roles)),
		Identities: p.Identities, Default: p.Default, Anonymous: p.Anonymous,
	}
	for _, t := range cfg.Auth.Tokens {
		s.Known = append(s.Known, t.Identity)
	}
	for name, r := range p.Roles {
		role := permit.Role{System: r.System, Rate: cfg.RateLimit.Role[name]}
		for verb, lists := range map[permit.Verb]config.Lists{
			permit.Publish: r.Publish, permit.Subscribe: r.Subscribe, permit.Request: r.Request,
			permit.Respond: r.Respond,
		} {
			role.Verbs[verb] = permit.Lists{Allow: lists.Allow, Deny: lists.Deny}
		}
		s.Roles[name] = role
	}
	return s
}
