package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mbserver/server/config"
)

// reloadPatience is how long a reload waits for the loops: a busy one takes a few turns.
const reloadPatience = 30 * time.Second

// Reload takes over what of a configuration may change while the node runs (config.Key.Live), and
// reads the files again that it names: certificates, tokens, keys, permissions, as one. When it
// returns, every loop has confirmed the new rules. A fault, load's too, is logged and returned, and
// changes nothing. Any goroutine; one call waits for the other.
func (n *Node) Reload(load config.Loader) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	log := n.log.With("module", "config")
	cfg, from, err := load()
	if err == nil {
		err = n.reload(&cfg, from)
	}
	if err != nil {
		reason := strings.ReplaceAll(err.Error(), "\n", "; ")
		n.settings.failed(reason)
		log.Error("configuration not reloaded: "+reason, "error", reason)
	}
	return err
}

func (n *Node) reload(cfg *config.Config, from config.Origins) error {
	log := n.log.With("module", "config")
	authority, err := authorityOf(cfg)
	if err != nil {
		return err
	}
	attrs := []any{
		"tokens", len(cfg.Auth.Tokens), "roles", len(cfg.Permissions.Roles),
		"identities", len(cfg.Permissions.Identities),
	}
	if n.certificates != nil {
		if err := n.certificates.Reload(cfg.Auth.Certificate.CA); err != nil {
			return err
		}
		n.noteExpiry(time.Now())
		attrs = append(attrs, "certificates", 1,
			"expires", n.certificates.Expiry().UTC().Format(time.RFC3339))
	}
	ctx, cancel := context.WithTimeout(n.running, reloadPatience)
	defer cancel()
	took, err := n.broker.Reauthorise(ctx, authority)
	n.admin.Recheck()
	if n.running.Err() != nil {
		return errors.New("the node has stopped")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("the new rules stand, but not every loop has confirmed them "+
			"within %v", reloadPatience), err)
	}
	if n.door != nil {
		n.door.SetRate(cfg.Admission.Rate)
	}
	n.settings.renew(cfg, from)
	attrs = append(attrs, "revokedConnections", took.Connections,
		"revokedSubscriptions", took.Subscriptions, "revokedMessages", took.Messages)
	if keys := n.cfg.NotLive(cfg); len(keys) > 0 {
		log.Warn("these keys take effect at the next start: "+strings.Join(keys, ", "),
			"keys", strings.Join(keys, ","))
	}
	log.Info("configuration reloaded", attrs...)
	return nil
}
