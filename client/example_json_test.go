package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"mbserver/client"
)

// A chat: what is said in a room is heard by everybody there, its speaker included.
func ExampleSubscribeJSON() {
	b, address := broker()
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	type line struct{ From, Text string }
	c, err := client.Dial(ctx, address, client.WithName("Ada"))
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.SubscribeJSON(ctx, c, "chat.lobby", func(_ client.Message, l line) {
		fmt.Printf("%s: %s\n", l.From, l.Text)
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.PublishJSON(ctx, c, "chat.lobby", line{"Ada", "hello"}); err != nil {
		log.Fatal(err)
	}
	if err := c.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: Ada: hello
}

// A work queue: the broker gives each worker as many jobs at a time as it said
// that it takes, and holds the others.
func ExampleHandleJSON() {
	b, address := broker()
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	type job struct{ Side int }
	type result struct{ Area int }
	worker, err := client.Dial(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	err = worker.Register(ctx, client.Registration{Name: "worker", MaxConcurrent: 2})
	if err != nil {
		log.Fatal(err)
	}
	square := func(_ context.Context, _ client.Request, j job) (result, error) {
		return result{j.Side * j.Side}, nil
	}
	if _, err := client.HandleJSON(ctx, worker, "jobs.square", square); err != nil {
		log.Fatal(err)
	}

	c, err := client.Dial(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	// A job that may be done twice is asked for until it is done.
	ask := func(j job) (result, error) {
		for {
			r, err := client.RequestJSON[result](ctx, c, "jobs.square", j)
			if after, again := client.RetryAfter(err); again {
				time.Sleep(after)
			} else if !errors.Is(err, client.ErrDisconnected) || c.WaitConnected(ctx) != nil {
				return r, err
			}
		}
	}
	for side := range 3 {
		r, err := ask(job{side})
		fmt.Println(r.Area, err)
	}
	_ = c.Close() // It never fails.
	if err := worker.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
	// 4 <nil>
}

func ExampleClient_Stream() {
	b, address := broker()
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	c, err := client.Dial(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }() // It never fails.
	s, err := c.Stream(ctx, "numbers")
	if err != nil {
		log.Fatal(err)
	}
	for n := range 3 {
		if err := client.PublishJSON(ctx, c, "numbers", n); err != nil {
			log.Fatal(err)
		}
	}
	for m, err := range s.All(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", m.Payload)
		if string(m.Payload) == "2" {
			break
		}
	}
	if err := s.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 0
	// 1
	// 2
}
