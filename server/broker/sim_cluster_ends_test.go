package broker

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"mbserver/server/auth"
	"mbserver/server/system"
	"mbserver/topic"
)

// Subscriptions that end without their clients, and the laws: what an operator has ended brings
// nothing any more once that is done, and is told once; credentials that have expired end all, in
// time and not before, and nothing comes after the word of that. What ends so is as unknown to
// other nodes as what a client has ended itself.

// crossEnds is what ends without a client.
type crossEnds struct {
	expires int64 // when its credentials do; 0: never
	told    bool  // that they have

	revoked map[string]int // subscriptions that an operator has ended, and it was not told of
	over    []string       // publishes that may not come any more: it is done
}

// lend gives a client credentials that expire.
func (k *crossClient) lend(ms int64) {
	k.s.say("%s has credentials for %d ms", k.name, ms)
	k.ends.expires = k.s.now + ms
	standing := newStanding(k.Conn)
	standing.grant = &auth.Grant{
		Identity: k.name, Expires: time.UnixMilli(testEpoch + k.node.ms + ms),
	}
	standing.arm()
	standing.show()
}

// checkExpiry holds that credentials end in time. A node that does not run ends nothing.
func (k *crossClient) checkExpiry() {
	n, s := k.node, k.s
	late := s.now - max(k.ends.expires, n.touched)
	if k.ends.expires != 0 && !n.still && late > 60 {
		s.fail("%s is there %d ms after its credentials have expired", k.name, late)
	}
}

// closed notes that the node has closed the connection.
func (k *crossClient) closed() {
	s := k.s
	if k.ends.expires == 0 || s.now < k.ends.expires-1 || !k.ends.told {
		s.fail("%s was closed for no reason, or was not told: its credentials expire at %d",
			k.name, k.ends.expires)
	}
	s.say("%s was closed", k.name)
	s.totals["expired"]++
	k.lose()
}

// withdraw has an operator end a subscription.
func (k *crossClient) withdraw(sub *crossSub, kind topic.Kind) {
	s := k.s
	s.say("an operator ends %s %s of %s", kind, sub.pattern, k.name)
	o := &system.Order{Deed: system.Unsubscribe, Of: k.Conn.id, Kinds: []topic.Kind{kind}}
	o.Pattern, _ = topic.ParsePattern(sub.pattern)
	k.loop.call(func(l *Loop) {
		if k.gone || k.Conn.state != stateOpen {
			return
		}
		want, keys := 0, []string(nil)
		if list := k.listOf(kind); slices.Contains(*list, sub) {
			want, keys = 1, k.end(list, sub)
			k.ends.revoked[kind.String()+" "+sub.pattern]++
		}
		l.operate(&k.Conn.service, system.Actor{}, o,
			func(_ *Loop, ended int, err *system.Error) {
				s.say("%s of %s is ended: %d", sub.pattern, k.name, ended)
				if err != nil || ended != want {
					s.fail("%d subscriptions were ended, want %d: %v", ended, want, err)
				}
				k.ends.over = append(k.ends.over, keys...)
				s.totals["withdrawn"]++
			})
	})
}

// listOf is where subscriptions of a kind stand.
func (k *crossClient) listOf(kind topic.Kind) *[]*crossSub {
	if kind == topic.Request {
		return &k.serves
	}
	return &k.subs
}

// end notes that a subscription has ended, and returns which publishes may come or not now.
func (k *crossClient) end(list *[]*crossSub, sub *crossSub) (keys []string) {
	*list = slices.DeleteFunc(*list, func(s *crossSub) bool { return s == sub })
	if list == &k.serves {
		return nil
	}
	for key := range k.owed {
		if !k.wants(k.s.publishes[key].topic) {
			delete(k.owed, key)
			k.may[key] = true
			keys = append(keys, key)
		}
	}
	for key := range k.due {
		if !k.wants(k.s.publishes[key].topic) {
			delete(k.due, key)
		}
	}
	if len(k.subs) == 0 {
		k.lostLeast = min(k.lostLeast, k.told)
	}
	return keys
}

// settleEnds notes what may not come any more. What is subscribed to again may.
func (k *crossClient) settleEnds() {
	for _, key := range k.ends.over {
		if !k.wants(k.s.publishes[key].topic) {
			delete(k.may, key)
		}
	}
	k.ends.over = nil
}

// receivedRevoked judges the notice that an operator has ended a subscription.
func (k *crossClient) receivedRevoked(m *testMessage) {
	var notice struct{ Action, Topic string }
	of := ""
	if json.Unmarshal(m.payload, &notice) == nil {
		of = fmt.Sprintf("%s %s", notice.Action, notice.Topic)
	}
	if k.ends.revoked[of]--; k.ends.revoked[of] < 0 {
		k.s.fail("%s is told that %q was ended", k.name, of)
	}
	if k.ends.revoked[of] == 0 {
		delete(k.ends.revoked, of)
	}
}
