package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"mbserver/client"
	"mbserver/cmd/mb/terminal"
)

// maxToken is the longest credential that a broker takes, in bytes.
const maxToken = 8 << 10

// tokenAsked reports whether the credential is to be read.
func (a *app) tokenAsked(cmd *cobra.Command) bool {
	return a.token == "-" && cmd.Flags().Changed("token")
}

// takeToken reads the credential where --token says so.
func (a *app) takeToken(cmd *cobra.Command) (err error) {
	if !a.tokenAsked(cmd) {
		return nil
	}
	if a.token, err = a.readToken(cmd.Context()); err != nil {
		return &failure{err}
	}
	return nil
}

// readToken returns the first line of standard input; from a terminal it is not shown. What
// follows is left to who reads on.
func (a *app) readToken(ctx context.Context) (text string, err error) {
	if file, ok := a.stdin.(*os.File); ok && terminal.Is(file) {
		a.say("credential: ")
		text, err = readHidden(ctx, int(file.Fd()))
		a.say("\n")
	} else {
		in := bufio.NewReaderSize(a.stdin, maxToken+2)
		a.stdin = in
		var line []byte
		line, err = in.ReadSlice('\n')
		text = string(line)
	}
	if _, early := errors.AsType[interrupted](err); early {
		return "", err
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("reading the credential: %w", err)
	}
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxToken {
		return "", fmt.Errorf("the credential on standard input has %d bytes: 1 to %d",
			len(text), maxToken)
	}
	return text, nil
}

// readHidden reads a line that a terminal does not show. A signal leaves the
// terminal as it was; the goroutine that reads then ends with the process.
func readHidden(ctx context.Context, fd int) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		read <- result{text, err}
	}()
	select {
	case r := <-read:
		return string(r.text), r.err
	case <-ctx.Done():
		return "", errors.Join(interrupted("at the credential"), term.Restore(fd, before))
	}
}

// unknown makes of a refused credential what a user can act on.
func unknown(err error) error {
	var refused *client.Error
	if !errors.As(err, &refused) {
		return err
	}
	what := map[any]string{
		"invalid": "is it for this broker, and whole? mb token hash shows how auth.tokens has it",
		"expired": "mb token new makes another, which the broker has to be told",
		"locked_out": "wrong tokens from this address did that; it ends by itself, and a " +
			"good one is taken at any time",
	}[refused.Details["reason"]]
	text := err.Error()
	if refused.Details["reason"] == "required" {
		text = "UNAUTHORIZED: the broker wants to know who this is"
		what = "--token, MB_TOKEN or a context with a credential say so, or --tls-cert"
	}
	if what == "" {
		return err
	}
	return &connectError{text + "; " + what, err}
}

// standing is how many of a command's subscriptions the broker has not ended.
type standing struct {
	left atomic.Int64
	none chan struct{} // closed when there is none any more; nil: the command has none
}

// expect says how many there will be, before they are asked for.
func (s *standing) expect(n int) {
	s.left.Store(int64(n))
}

// revoked tells that the broker has ended a subscription.
func (s *standing) revoked(a *app) func(*client.Subscription) {
	s.left.Store(1)
	s.none = make(chan struct{})
	return func(ended *client.Subscription) {
		a.complain("%v", ended.Err())
		if s.left.Add(-1) == 0 {
			close(s.none)
		}
	}
}
