package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"mbserver/client"
)

// The scenes of requests. Desks, three instances of one service, answer questions; passengers, one
// client, ask them. A desk dies, later a node that has one (play.go); what fails is what those had
// just then.

// dialAt connects a client to one node. The balancer gives who comes a node with few clients:
// those that it sends elsewhere stay until it has sent one there.
func (d *demo) dialAt(
	ctx context.Context, n *node, dial func() (*client.Client, error),
) (c *client.Client, err error) {
	var elsewhere []*client.Client
	defer func() {
		for _, one := range elsewhere {
			err = errors.Join(err, one.Close())
		}
	}()
	var failed error
	if err = await(ctx, "the balancer sends somebody to node "+n.name, func() bool {
		if c, failed = dial(); failed != nil || d.where(c) == n.name {
			return true
		}
		elsewhere = append(elsewhere, c)
		if len(elsewhere) > 4*len(d.stage.nodes) { // it does not take that node at all
			_ = elsewhere[0].Close() // it never fails
			elsewhere = elsewhere[1:]
		}
		return false
	}); err != nil {
		return nil, err
	}
	return c, failed
}

// open has a desk begin to answer at a node.
func (d *demo) open(ctx context.Context, q *questions, n *node) error {
	k := &desk{name: "desk " + strconv.Itoa(len(q.desks)+1)}
	c, err := d.dialAt(ctx, n, func() (*client.Client, error) {
		return d.dial(ctx, k.name, client.WithDialer(k.dial), client.OnDisconnect(k.parted),
			client.OnReconnect(func(client.Renewal) { k.known(k.client.ServiceID()) }))
	})
	if err != nil {
		return err
	}
	k.client = c
	k.known(c.ServiceID())
	q.desks = append(q.desks, k)
	_, err = c.Handle(ctx, askTopic, q.answer(k))
	d.say("%s answers at node %s", k.name, n.name)
	return err
}

// desksAnswer opens a desk at each node, and has passengers ask.
func (d *demo) desksAnswer(ctx context.Context) (err error) {
	d.scene("Requests find a service", fmt.Sprintf("A request goes to one instance of a service, "+
		"at whichever node: the one with\nthe least to do. Three desks answer, %v for each "+
		"question.", askTime))
	q := newQuestions()
	d.questions = q
	home := d.where(d.publisher.client)
	for _, n := range d.stage.nodes {
		if err := d.open(ctx, q, n); err != nil {
			return err
		}
		if n.name != home {
			continue
		}
		if q.client, err = d.dialAt(ctx, n, func() (*client.Client, error) {
			return d.dial(ctx, "passengers")
		}); err != nil {
			return err
		}
	}
	d.shown.Lock()
	d.asking = q
	d.shown.Unlock()
	d.say("passengers ask at node %s: %d questions a second", d.where(q.client), askRate)
	d.quiet, d.silent = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(d.silent)
		q.run(ctx, d.quiet)
	}()
	return rest(ctx, d.look)
}

// apart is the desk whose end shows most: at a node that stays, and not that of the passengers.
func (d *demo) apart() (k *desk) {
	home := d.where(d.questions.client)
	n, _ := d.victim()
	best := -1
	for _, one := range d.questions.desks {
		good, at := 0, d.where(one.client)
		if at != home {
			good++
		}
		if n == nil || at != n.name {
			good++
		}
		if good > best {
			k, best = one, good
		}
	}
	return k
}

// deskDies cuts a desk's connection.
func (d *demo) deskDies(ctx context.Context) error {
	k := d.apart()
	d.scene("A service dies", "The questions that it has fail at once: nobody knows whether they "+
		"were\nanswered, and none is asked twice. All others go to the two that are left.")
	k.cut()
	d.say("the connection of %s, at node %s, is cut", k.name, d.where(k.client))
	return d.goOn(ctx, k)
}

// goOn looks on, and tells what became of the questions of a desk that has died, and of those after
// it.
func (d *demo) goOn(ctx context.Context, k *desk) error {
	_, before, _ := d.questions.so()
	if err := rest(ctx, d.look); err != nil {
		return err
	}
	_, answered, failed := d.questions.so()
	d.say("%s had %d of the questions just then, which have failed, %d of all; %d were answered "+
		"since", k.name, d.questions.of(k.name).failed, failed, answered-before)
	return nil
}

// questionsEnd has the passengers end, and waits for their last answers.
func (d *demo) questionsEnd(ctx context.Context) error {
	close(d.quiet)
	select {
	case <-d.silent:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	asked, answered, failed := d.questions.so()
	d.say("the passengers have gone: of %d questions %d were answered and %d have failed", asked,
		answered, failed)
	return nil
}

// askedBoard is the part of the board about questions.
func (d *demo) askedBoard(q *questions) (text string) {
	asked, answered, failed := q.so()
	const columns = "%-10s %-10v %10v %10v %12v\n"
	text = "\n" + fmt.Sprintf(columns, "", "at node", "asked", "answered", "failed") +
		fmt.Sprintf(columns, "passengers", d.where(q.client), asked, answered, failed)
	for _, k := range q.desks {
		gone, _ := k.seen()
		where := d.where(k.client)
		if gone {
			where = "-"
		}
		of := q.of(k.name)
		text += fmt.Sprintf(columns, k.name, where, "", of.answered, of.failed)
	}
	return text
}

// sumQuestions says whether all questions are accounted for.
func (d *demo) sumQuestions() (good bool) {
	q := d.questions
	asked, answered, failed := q.so()
	fmt.Printf("\n%sWhat became of %d questions%s\n", d.screen.bold, asked, d.screen.off)
	const columns = "%-10s %10v %10v %10v  %s\n"
	fmt.Printf(columns, "", "asked", "answered", "failed", "")
	for _, k := range q.desks {
		of := q.of(k.name)
		_, end := k.seen()
		fmt.Printf(columns, k.name, "", of.answered, of.failed, end)
	}
	if none := q.of(""); none != (fate{}) {
		fmt.Printf(columns, "no desk", "", none.answered, none.failed, "")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	good, verdict := asked == answered+failed && q.twice == 0, "adds up"
	if !good {
		verdict = fmt.Sprintf("WRONG (%d were given to a desk twice)", q.twice)
	}
	fmt.Printf(columns, "together", asked, answered, failed, verdict)
	if good {
		fmt.Print("\nEach question has one answer, and none was given to a desk twice. ")
	}
	fmt.Printf("Those that\nhave failed say why, and which desk had them: it may have answered, " +
		"which is\nnot known, so that nobody else is asked.\n")
	for _, why := range slices.Sorted(maps.Keys(q.failed)) {
		fmt.Printf("%10d  %s\n", q.failed[why], why)
	}
	return good
}
