package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/terminal"
)

// tokenBytes is how random a token is.
const tokenBytes = 32

func (a *app) tokens() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make credentials, and try them",
		Long: "Make credentials, and try them. A broker's configuration has the hash of a " +
			"token, who has it and what that one may do;\n" +
			"the token itself only its owner has.",
		Example: "  mb token new --identity billing --roles orders --expires 90d > it.token\n" +
			"  mb token verify --server tls://mb.example.org --token - < it.token",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.tokenNew(), a.tokenHash(), a.tokenVerify())
	return cmd
}

// minted is a token and what the broker is to know of it.
type minted struct {
	Token    string     `json:"token"`
	SHA256   string     `json:"sha256"`
	Identity string     `json:"identity,omitempty"`
	Roles    []string   `json:"roles,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"`
}

// hashToken is what a broker's configuration has of a token: the SHA-256 of its text
// (protocol §10).
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func (a *app) tokenNew() *cobra.Command {
	var m minted
	var expires string
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a token, and what the broker has to know of it",
		Long: "Make a token of 32 random bytes. It goes to standard output, and what belongs in " +
			"the broker's configuration, with its hash,\n" +
			"to standard error. Nothing is sent to a broker: put that there, and send it SIGHUP.",
		Example: "  mb token new --identity billing --roles orders,reports > billing.token\n" +
			"  mb token new --identity ci --expires 30d --json",
		Args: cobra.NoArgs,
		RunE: work(func(context.Context, []string) error {
			if expires != "" {
				end, err := parseEnd(expires, time.Now())
				if err != nil {
					return err
				}
				m.Expires = &end
			}
			if strings.ContainsFunc(m.Identity, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return usageError(fmt.Sprintf("--identity %q: it is text on one line", m.Identity))
			}
			return a.mint(&m)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&m.Identity, "identity", "", "`NAME` of who has it")
	f.StringSliceVar(&m.Roles, "roles", nil,
		"what that one may do: `ROLES` with commas between them")
	f.StringVar(&expires, "expires", "",
		"`TIME` when it ends: 30d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z; without it never")
	// These fail for flags that are not there.
	_ = cmd.RegisterFlagCompletionFunc("identity", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("roles", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("expires", beginning([]string{"30d", "90d", "365d"}))
	return cmd
}

// parseEnd reads a time from now on, or a point in time. A day without a time ends with it, in UTC.
func parseEnd(text string, now time.Time) (end time.Time, err error) {
	wrong := usageError(fmt.Sprintf(
		"--expires %q: must be a time such as 30d or 12h, or 2027-01-31, in the future", text))
	if days, is := strings.CutSuffix(text, "d"); is {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return end, wrong
		}
		end = now.AddDate(0, 0, int(n))
	} else if d, err := time.ParseDuration(text); err == nil {
		end = now.Add(d)
	} else if day, err := time.Parse(time.DateOnly, text); err == nil {
		end = day.AddDate(0, 0, 1)
	} else if end, err = time.Parse(time.RFC3339, text); err != nil {
		return end, wrong
	}
	if end = end.UTC().Truncate(time.Second); !end.After(now) {
		return end, wrong
	}
	return end, nil
}

func (a *app) mint(m *minted) error {
	var random [tokenBytes]byte
	_, _ = rand.Read(random[:]) // It never fails.
	m.Token = base64.RawURLEncoding.EncodeToString(random[:])
	m.SHA256 = hashToken(m.Token)
	if a.json {
		return objects(a, []*minted{m})
	}
	if !a.quiet {
		a.say(m.snippet())
	}
	_, err := fmt.Fprintln(a.stdout, m.Token)
	return err
}

// snippet is what belongs in the broker's configuration. JSON's texts are YAML's.
func (m *minted) snippet() string {
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			return strconv.Quote(fmt.Sprint(v))
		}
		return string(b)
	}
	var b strings.Builder
	b.WriteString("# for the broker's configuration file:\nauth:\n  tokens:\n")
	identity := text(m.Identity)
	if m.Identity == "" {
		identity += " # who has it"
	}
	fmt.Fprintf(&b, "    - identity: %s\n      sha256: %s\n", identity, text(m.SHA256))
	if len(m.Roles) > 0 {
		fmt.Fprintf(&b, "      roles: %s\n", text(m.Roles))
	}
	if m.Expires != nil {
		fmt.Fprintf(&b, "      expires: %s\n", text(m.Expires))
	}
	return b.String()
}

func (a *app) tokenHash() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hash",
		Short: "Print the hash of a token",
		Long: "Print the hash of the token on the first line of standard input, as auth.tokens " +
			"of a broker's configuration has it: SHA-256\nof its text, in hexadecimal.",
		Example: "  mb token hash < billing.token\n" +
			"  grep $(mb token hash < billing.token) mb.yaml",
		Args: cobra.NoArgs,
	}
	cmd.RunE = work(func(ctx context.Context, _ []string) (err error) {
		token := a.token
		if !cmd.Flags().Changed("token") {
			if token, err = a.readToken(ctx); err != nil {
				return err
			}
		}
		hash := hashToken(token)
		if a.json {
			return objects(a, []map[string]string{{"sha256": hash}})
		}
		_, err = fmt.Fprintln(a.stdout, hash)
		return err
	})
	return cmd
}

// known is what a broker says of who has a token.
type known struct {
	Identity  string     `json:"identity"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"` // absent: never
	Server    string     `json:"server"`
}

func (a *app) tokenVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Ask the broker who has a token",
		Long: "Show the token of --token, MB_TOKEN or the context (or the certificate of " +
			"--tls-cert) to the broker, and print who it says that\n" +
			"is, and until when. The exit code is 1 when it does not take it, or asks nobody who " +
			"they are. A wrong token counts as a\nfailed attempt of this address.",
		Example: "  mb token verify --server tls://mb.example.org --token - < billing.token",
		Args:    cobra.NoArgs,
		RunE:    work(func(ctx context.Context, _ []string) error { return a.verify(ctx) }),
	}
}

func (a *app) verify(ctx context.Context) error {
	if a.token == "" && a.security.cert == "" {
		return usageError("--token is missing: the token to try (- reads it)")
	}
	c, err := a.dial(ctx, client.WithoutReconnect())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // It never fails.
	k := known{Identity: c.Identity(), Server: a.address()}
	if k.Identity == "" {
		return errors.New("the broker asks nobody who they are: every token is as good as this one")
	}
	ends := "never"
	if end := c.ExpiresAt(); !end.IsZero() {
		k.ExpiresAt = &end
		ends = fmt.Sprintf("%s, in %s", end.UTC().Format(time.RFC3339), human.Span(time.Until(end)))
	}
	if a.json {
		return objects(a, []known{k})
	}
	return a.table("IDENTITY\tENDS", func(w io.Writer) {
		// A buffer takes everything.
		_, _ = fmt.Fprintf(w, "%s\t%s\n", terminal.Cell(k.Identity), ends)
	})
}
