package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mbserver/cmd/mb/contexts"
)

// security is how a broker with TLS is trusted, and what it is shown.
type security struct {
	ca       string // file of certificates to trust; empty: the system's
	cert     string // file of the certificate to show; empty: none
	key      string // file of its private key; empty: in cert
	name     string // that the broker's certificate must have; empty: that of the address
	insecure bool   // whatever certificate it has is taken
	warned   bool
}

// Flags of security. Each has a variable: MB_TLS_CA is --tls-ca.
const (
	flagCA       = "tls-ca"
	flagCert     = "tls-cert"
	flagKey      = "tls-key"
	flagName     = "tls-server-name"
	flagInsecure = "tls-insecure"
)

var securityFlags = []string{flagCA, flagCert, flagKey, flagName, flagInsecure}

// variable is the environment's name of a flag.
func variable(flag string) string {
	return "MB_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func (s *security) register(root *cobra.Command) {
	flags := root.PersistentFlags()
	text := func(value *string, name, usage string) {
		flags.StringVar(value, name, "", usage+" (environment: "+variable(name)+")")
	}
	text(&s.ca, flagCA, "certificates `FILE` (PEM) to trust instead of the system's")
	text(&s.cert, flagCert, "certificate `FILE` (PEM) to show the broker")
	text(&s.key, flagKey, "its private key `FILE` (PEM); without it that of --"+flagCert)
	text(&s.name, flagName, "`NAME` that the broker's certificate must have, not the address'")
	flags.BoolVar(&s.insecure, flagInsecure, false,
		"do not check the broker's certificate (environment: "+variable(flagInsecure)+")")
	_ = root.RegisterFlagCompletionFunc(flagName, cobra.NoFileCompletions) // The flag is there.
}

// choose settles what no flag says: of a context that was named, what is saved in it; else the
// environment goes before the context in use. A certificate and its key come from one place.
func (s *security) choose(flags *pflag.FlagSet, saved contexts.Context, named bool) error {
	outside := func(flag string) string {
		if named {
			return ""
		}
		return os.Getenv(variable(flag))
	}
	if !flags.Changed(flagCA) {
		s.ca = or(outside(flagCA), saved.CA)
	}
	if !flags.Changed(flagName) {
		s.name = or(outside(flagName), saved.ServerName)
	}
	if !flags.Changed(flagCert) {
		key := saved.Key
		if s.cert = outside(flagCert); s.cert != "" {
			key = outside(flagKey)
		} else {
			s.cert = saved.Cert
		}
		if !flags.Changed(flagKey) {
			s.key = key
		}
	}
	if flags.Changed(flagInsecure) {
		return nil
	}
	s.insecure = saved.Insecure
	if text := outside(flagInsecure); text != "" {
		var err error
		if s.insecure, err = strconv.ParseBool(text); err != nil {
			return usageError(fmt.Sprintf("%s %q: must be true or false",
				variable(flagInsecure), text))
		}
	}
	return nil
}

func or(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

// check refuses flags that would not do what whoever gave them believes.
func (s *security) check(flags *pflag.FlagSet, server string) error {
	if flags.Changed(flagKey) && s.cert == "" {
		return usageError("--" + flagKey + ": with --" + flagCert + " only")
	}
	if overTLS(server) {
		return nil
	}
	if i := slices.IndexFunc(securityFlags, flags.Changed); i >= 0 {
		return usageError(fmt.Sprintf("--%s: %s is not encrypted; tls:// and wss:// are",
			securityFlags[i], server))
	}
	return nil
}

// overTLS reports whether an address of the list is one with TLS.
func overTLS(server string) bool {
	return slices.ContainsFunc(strings.Split(server, ","), func(address string) bool {
		scheme, _, _ := strings.Cut(strings.TrimSpace(address), "://")
		return slices.Contains([]string{"tls", "wss"}, strings.ToLower(scheme))
	})
}

// config reads the files. It warns once of what is not checked.
func (a *app) tlsConfig(server string) (*tls.Config, error) {
	s := &a.security
	if s.insecure && overTLS(server) && !s.warned {
		s.warned = true
		a.notice("the broker's certificate is not checked: anybody between here and there can " +
			"read and change everything")
	}
	// Insecure: the user asked for it.
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: s.insecure, ServerName: s.name,
	}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it", s.ca)
		}
	}
	if s.cert != "" {
		own, err := tls.LoadX509KeyPair(s.cert, or(s.key, s.cert))
		if err != nil {
			return nil, fmt.Errorf("the certificate of %s: %w", s.cert, err)
		}
		cfg.Certificates = []tls.Certificate{own}
	}
	return cfg, nil
}

// save keeps all of it in a context, with paths that hold anywhere.
func (s *security) save(into *contexts.Context) (err error) {
	absolute := func(path string) string {
		if path == "" {
			return ""
		}
		whole, failed := filepath.Abs(path)
		err = errors.Join(err, failed)
		return whole
	}
	into.CA, into.Cert, into.Key = absolute(s.ca), absolute(s.cert), absolute(s.key)
	into.ServerName, into.Insecure = s.name, s.insecure
	return err
}
