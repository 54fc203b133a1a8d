package backplane

import (
	"slices"
	"testing"

	"mbserver/server/abroad"
)

// newer is a node of a later version, as this one hears it: in every frame, and in what stands in
// it, is something that is not known here.
type newer struct {
	nodeKey
	p *Plane
}

// unknown is a field that nobody has defined.
func unknown(b []byte) []byte { return appendBytes(b, 999, "of a later version") }

func (n *newer) says(lane string, frame []byte) {
	to := all
	receive := n.p.receive
	switch lane {
	case ".pub.0":
		to, receive = "n", n.p.inward.receive
	case ".req.0":
		to, receive = "n", n.p.calls.receive
	}
	receive(from("c", n.name, n.inc)+to+lane, frame)
}

// nested is a frame of what stands in fields, of which each tag's gets another field at its end.
func nested(t *testing.T, frame []byte, tag uint64) (b []byte) {
	t.Helper()
	k, fields, err := open(frame)
	if err == nil {
		b = unknown(begin(nil, k))
		err = each(fields, func(is uint64, value []byte) error {
			if is == tag {
				value = unknown(slices.Clone(value))
			}
			b = appendBytes(b, is, value)
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return unknown(b)
}

// A node of a later version is understood as far as it says what is known here: fields, frames,
// lanes' words and entries that are not are passed over, and count for its hash.
func TestNewerNode(t *testing.T) {
	p, now, told := teller(t)
	b := newFake()
	p.broker = b
	n := &newer{nodeKey{"newer", 7}, p}
	live := func() bool { return (&talk{nodeKey: n.nodeKey}).live(p) }

	n.says(".ctl", (&beat{formLeast: 2, formMost: 3}).append(nil))
	if len(p.nodes) != 0 {
		t.Fatal("one that speaks no form of this one is heard")
	}
	n.says(".ctl", nested(t, (&beat{
		formLeast: 1, formMost: 9, server: "9.0.0", id: "9",
		nodes: []beatNode{{name: "n", inc: 1, holds: true}},
	}).append(nil), tagNode))
	n.says(".ctl", unknown(begin(nil, 200))) // a frame of a kind that is not known
	if !live() {
		t.Fatal("it is not live")
	}
	service := serviceEntry(theService()) + string(unknown(nil))
	offer := offerEntry(abroad.Offer{Service: oneID, Pattern: "a.+", Priority: 1})
	const foreign = "\x03something else"
	entries := []string{"x.#", foreign, service, offer}
	d := delta{first: 1}
	hash := uint64(0)
	for _, text := range entries {
		d.changes = append(d.changes, change{text, false})
		hash ^= hashOf(text)
	}
	n.says(".ctl", unknown(d.append(nil)))
	beats := func(version uint64) (asks int) {
		n.says(".ctl", (&beat{
			formLeast: 1, formMost: 9, version: version, hash: hash, count: 4,
		}).append(nil))
		pass(p, now, *now)
		return told.asks
	}
	if beats(4) != 0 {
		t.Error("what it says is not taken: it is asked again")
	}
	services, offers := b.serving()
	if len(b.wanting("x.#")) != 1 || len(services) != 1 || services[0].Name != "one" ||
		len(offers) != 1 {
		t.Errorf("it wants, or serves, something else: %+v %+v", services, offers)
	}
	n.says(".ctl", unknown((&delta{5, []change{{foreign, true}}}).append(nil)))
	hash ^= hashOf(foreign)
	if beats(5) != 0 {
		t.Error("that it is taken away is not taken: it is asked again")
	}

	publishes := unknown(appendPublish(nil, []byte("publish:x:1.0.0:1\n"), nil, 0))
	publishes = appendPublish(publishes, []byte("publish:x:1.0.0:2\n"), nil, 0)
	n.says(".pub.0", (&batch{to: 1, epoch: 1, publishes: publishes}).append(nil))
	if got, lost := b.received(); len(got) != 2 || lost != 0 {
		t.Errorf("%q came, %d lost", got, lost)
	}
	calls := unknown(appendCallHead(nil, 1, 1, 0))
	calls = appendLoad(appendRequest(calls, theRequest()), abroad.Load{Service: oneID, Others: 3})
	n.says(".req.0", calls)
	if len(b.asked) != 1 || len(b.words) != 1 {
		t.Errorf("asked %q, words %q", b.asked, b.words)
	}
	n.says(".ctl", nested(t, theFarewell().append(begin(nil, kindLeave)), tagNode))
	if live() {
		t.Error("it has left, and is live")
	}
}

// What a node of an earlier version does not say is not asked for: it keeps nothing for repair, and
// says nothing of frames of requests.
func TestOlderNode(t *testing.T) {
	p, now, told := teller(t)
	b := newFake()
	p.broker = b
	n := &newer{nodeKey{"older", 7}, p}
	n.says(".ctl", (&beat{formLeast: 1, formMost: 1, server: "0.0.9"}).append(nil))
	message := func(text string) []byte { return appendPublish(nil, []byte(text), nil, 0) }
	n.says(".pub.0", (&batch{
		to: 1, epoch: 1, publishes: message("publish:x:1.0.0:1\n"),
	}).append(nil))
	n.says(".pub.0", (&batch{
		to: 1, epoch: 1, first: 3, publishes: message("publish:x:1.0.0:4\n"),
	}).append(nil))
	if got, lost := b.received(); len(got) != 2 || lost != 2 {
		t.Errorf("%q came, %d are lost, without delay", got, lost)
	}
	*now += p.o.Heartbeat
	pass(p, now, *now)
	if told.asks != 0 {
		t.Error("it is asked for what it does not keep")
	}
}
