package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mbserver/cmd/mb/contexts"
	"mbserver/cmd/mb/terminal"
)

// choose settles which server is meant and what it is shown. A context is taken
// whole or not at all: its credential never goes to another server.
func (a *app) choose(flags *pflag.FlagSet) error {
	given := flags.Changed
	if a.context != "" && given("server") {
		return usageError("--context and --server both name a broker")
	}
	saved := contexts.Context{}
	if a.context != "" || !given("server") && os.Getenv("MB_SERVER") == "" {
		var err error
		if saved, err = a.saved(); err != nil {
			return err
		}
	}
	if saved.Server != "" {
		a.server = saved.Server
	}
	if err := a.security.choose(flags, saved, a.context != ""); err != nil {
		return err
	}
	switch {
	case given("token"):
	case a.context != "":
		a.token = saved.Token
	default:
		a.token = environment("MB_TOKEN", saved.Token)
	}
	return a.security.check(flags, a.address())
}

// saved returns the context of --context, or the one in use; an empty one when
// there is none.
func (a *app) saved() (contexts.Context, error) {
	file, err := contextFile()
	if errors.Is(err, contexts.ErrNoPlace) && a.context == "" {
		return contexts.Context{}, nil
	}
	if err != nil {
		return contexts.Context{}, &failure{err}
	}
	name := a.context
	if name == "" {
		name = file.Current
	}
	if name == "" {
		return contexts.Context{}, nil
	}
	saved, err := find(file, name)
	if err != nil {
		return saved, err
	}
	if file.Exposed() {
		a.complain("%s holds credentials, and others can read it: chmod 600 it", file.Path())
	}
	return saved, nil
}

func contextFile() (*contexts.File, error) {
	path, err := contexts.Path()
	if err != nil {
		return nil, err
	}
	return contexts.Load(path)
}

// savedContext returns the file, and what it has under the name.
func savedContext(name string) (*contexts.File, contexts.Context, error) {
	file, err := contextFile()
	if err != nil {
		return nil, contexts.Context{}, err
	}
	saved, err := find(file, name)
	return file, saved, err
}

// find says what may have been meant when there is no such name.
func find(file *contexts.File, name string) (contexts.Context, error) {
	saved, ok := file.Find(name)
	if ok {
		return saved, nil
	}
	hint := didYouMean(name, file.Names())
	if hint == "" {
		hint = "; mb context list shows them"
	}
	return saved, usageError(fmt.Sprintf("no context is called %q%s", name, hint))
}

func (a *app) contexts() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Save servers and credentials under names",
		Long: "Save servers and credentials under names, in mb/contexts.json in your folder of " +
			"configurations (~/.config on Linux), which\n" +
			"only you can read. --context NAME uses one once; mb context use makes it the " +
			"default. --server and MB_SERVER go before the\n" +
			"default, and then nothing of it is used.",
		Example: "  mb context add prod --server tls://mb.example.org --token - < token.txt\n" +
			"  mb context use prod\n  mb --context prod services",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// Not the root's, which would use the context that is to be mended.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(a.contextAdd(), a.contextUse(), a.contextList(), a.contextRemove())
	return cmd
}

func (a *app) contextAdd() *cobra.Command {
	var use bool
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Save --server, --token and the --tls flags under a name",
		Long: "Save --server, --token and the --tls flags under a name. --token - reads the " +
			"credential from standard input, so that it is\nneither in the shell's history nor " +
			"in the list of processes. Of --tls files the paths are saved.",
		Example: "  mb context add prod --server tls://mb.example.org --token - < token.txt\n" +
			"  mb context add lab --server wss://lab:8000 --tls-ca ca.pem --use",
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = work(func(ctx context.Context, args []string) error {
		if !cmd.Flags().Changed("server") {
			return usageError("--server is missing: the broker to save")
		}
		if err := a.security.check(cmd.Flags(), a.address()); err != nil {
			return err
		}
		return a.addContext(ctx, args[0], use)
	})
	cmd.Flags().BoolVar(&use, "use", false, "make it the default")
	return cmd
}

func (a *app) addContext(ctx context.Context, name string, use bool) error {
	for server := range strings.SplitSeq(withScheme(a.server), ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err == nil && (u.User != nil || u.Query().Has("access_token")) {
			return usageError("--server: a credential goes to --token")
		}
		if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
			return usageError(fmt.Sprintf("--server %q: tcp, tls, ws or wss, ://, a host", server))
		}
	}
	if a.token == "-" {
		token, err := a.readToken(ctx)
		if err != nil {
			return err
		}
		a.token = token
	}
	saved := contexts.Context{Name: name, Server: withScheme(a.server), Token: a.token}
	if err := a.security.save(&saved); err != nil {
		return err
	}
	file, err := contextFile()
	if err != nil {
		return err
	}
	if err := file.Add(saved); err != nil {
		return usageError(err.Error())
	}
	if use {
		file.Current = name
	}
	if err := file.Save(); err != nil {
		return err
	}
	if use {
		a.notice("saved %s, which is the default now", name)
	} else {
		a.notice("saved %s: --context %s uses it, mb context use %s makes it the default",
			name, name, name)
	}
	return nil
}

func (a *app) contextUse() *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Make a saved context the default",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: work(func(_ context.Context, args []string) error {
			file, saved, err := savedContext(args[0])
			if err != nil {
				return err
			}
			file.Current = saved.Name
			if err := file.Save(); err != nil {
				return err
			}
			if server := os.Getenv("MB_SERVER"); server != "" {
				a.notice("%s is the default, but MB_SERVER (%s) goes before it", saved.Name, server)
			} else {
				a.notice("%s (%s) is the default now", saved.Name, saved.Server)
			}
			return nil
		}),
	}
}

func (a *app) contextRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Aliases:           []string{"rm"},
		Short:             "Forget a saved context",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeContexts,
		RunE: work(func(_ context.Context, args []string) error {
			file, saved, err := savedContext(args[0])
			if err != nil {
				return err
			}
			file.Remove(saved.Name)
			return file.Save()
		}),
	}
}

// contextRow is a context as it is listed: without its credential.
type contextRow struct {
	Name       string `json:"name"`
	Server     string `json:"server"`
	Credential bool   `json:"credential"` // whether there is one
	CA         string `json:"ca,omitempty"`
	Cert       string `json:"cert,omitempty"`
	ServerName string `json:"serverName,omitempty"`
	Insecure   bool   `json:"insecure,omitempty"`
	Default    bool   `json:"default"`
}

func (a *app) contextList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the saved contexts; * is the default",
		Args:    cobra.NoArgs,
		RunE: work(func(context.Context, []string) error {
			file, err := contextFile()
			if err != nil {
				return err
			}
			rows := make([]contextRow, len(file.Contexts))
			for i, c := range file.Contexts {
				rows[i] = contextRow{Name: c.Name, Server: c.Server, Credential: c.Token != "",
					CA: c.CA, Cert: c.Cert, ServerName: c.ServerName, Insecure: c.Insecure,
					Default: c.Name == file.Current}
			}
			if a.json {
				return objects(a, rows)
			}
			if len(rows) == 0 {
				a.notice("no context is saved: mb context add saves one")
				return nil
			}
			return a.table("  NAME\tSERVER\tCREDENTIAL\tCA\tCERTIFICATE", func(w io.Writer) {
				for _, r := range rows {
					mark, credential, ca := "  ", "no", terminal.Cell(r.CA)
					if r.Default {
						mark = "* "
					}
					if r.Credential {
						credential = "yes"
					}
					if r.Insecure {
						ca = "not checked"
					}
					// A buffer takes everything.
					_, _ = fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\n",
						mark, terminal.Cell(r.Name), terminal.Cell(r.Server), credential, ca,
						terminal.Cell(r.Cert))
				}
			})
		}),
	}
}
