package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"mbserver/client"
	"mbserver/client/clienttest"
)

// broker starts what the examples talk to; a program has the address instead.
func broker() (*clienttest.Broker, string) {
	b, err := clienttest.New(clienttest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return b, b.URL("tcp")
}

func Example() {
	b, address := broker()
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	c, err := client.Dial(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.Subscribe(ctx, "weather.+", func(m client.Message) {
		fmt.Printf("%s: %s\n", m.Topic, m.Payload)
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Publish(ctx, "weather.berlin", []byte("sunny")); err != nil {
		log.Fatal(err)
	}
	// Lets the callback run before the client ends.
	if err := c.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: weather.berlin: sunny
}

func ExampleClient_Handle() {
	b, address := broker()
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	c, err := client.Dial(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }() // It never fails.
	_, err = c.Handle(ctx, "greet", func(_ context.Context, r client.Request) ([]byte, error) {
		if len(r.Payload) == 0 {
			return nil, errors.New("who are you?")
		}
		return append([]byte("hello "), r.Payload...), nil
	}, client.WithConcurrency(8))
	if err != nil {
		log.Fatal(err)
	}
	answer, err := c.Request(ctx, "greet", []byte("Ada"))
	fmt.Println(string(answer), err)
	_, err = c.Request(ctx, "greet", nil)
	fmt.Println(err, errors.Is(err, client.ErrHandler))
	// Output:
	// hello Ada <nil>
	// HANDLER_ERROR: who are you? (topic greet) true
}

func ExampleClient_PublishAck() {
	b, address := broker()
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	c, err := client.Dial(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }() // It never fails.
	_, err = c.PublishAck(ctx, "nobody.listens", []byte("x"))
	fmt.Println(errors.Is(err, client.ErrNoRoute))
	// Output: true
}
