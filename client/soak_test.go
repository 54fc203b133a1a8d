package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mbserver/client"
)

// A long run: go test ./client -run TestSoak -v -soak 2m
var (
	soakTime = flag.Duration("soak", 5*time.Second, "how long TestSoak torments its clients")
	soakSeed = flag.Uint64("soak.seed", 0, "what the torments follow from; 0: any")
)

const (
	soakClients = 50
	soakTopics  = 6 // subscriptions of each client beside those it needs
)

// soaker is one client of the soak. It publishes to itself and to others, asks
// and answers, subscribes and ends what it subscribed to, and keeps books.
type soaker struct {
	number int
	client *client.Client
	others []*soaker
	calls  atomic.Int64  // that returned
	doing  atomic.Value  // what its worker waits for
	done   chan struct{} // closed when its worker has returned
	ghosts []*client.Subscription

	// Guarded by mu.
	mu       sync.Mutex
	seen     map[string]int // payload: how often
	expected []delivery     // what the broker acknowledged
	losses   []loss         // of the connection
	proofs   [][2]time.Time // when something that settled began and ended
	gaps     uint64         // messages it was told of as lost
	faults   []string
}

// loss is a time without a connection.
type loss struct{ begun, ended time.Time }

// delivery is a publish to a soaker which the broker acknowledged.
type delivery struct {
	payload     string
	own         bool // by the soaker itself
	sent, acked time.Time
}

func (s *soaker) fault(format string, arguments ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fmt.Sprintf(format, arguments...))
}

func (s *soaker) topic(kind string) string { return fmt.Sprintf("soak.%s.c%d", kind, s.number) }

// connect makes the client and all that is to stand to the end.
func (s *soaker) connect(ctx context.Context, address string) error {
	var err error
	s.client, err = client.Dial(ctx, address, client.WithName(s.topic("name")),
		client.WithReconnect(5*time.Millisecond, 200*time.Millisecond, 0),
		client.WithDialTimeout(2*time.Second), client.WithKeepAlive(500*time.Millisecond),
		client.OnGap(func(g client.Gap) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.gaps += g.Count
		}),
		client.OnError(func(e *client.Error) { s.check("OnError", e) }),
		client.OnReconnect(func(r client.Renewal) {
			for _, n := range r.Failed {
				s.fault("not renewed: %v", n.Err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.losses[len(s.losses)-1].ended = time.Now()
		}),
		client.OnDisconnect(func(error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.losses = append(s.losses, loss{begun: time.Now()})
		}))
	if err != nil {
		return err
	}
	if _, err = s.client.Subscribe(ctx, s.topic("own"), s.take); err != nil {
		return err
	}
	_, err = s.client.Handle(ctx, s.topic("service"),
		func(_ context.Context, r client.Request) ([]byte, error) { return r.Payload, nil })
	for i := 0; err == nil && i < soakTopics; i++ {
		_, err = s.client.Subscribe(ctx, fmt.Sprintf("%s.x%d", s.topic("many"), i), s.take)
	}
	return err
}

// take is the callback of what is to stand. Now and then it is slow, or makes a call.
func (s *soaker) take(m client.Message) {
	s.mu.Lock()
	s.seen[string(m.Payload)]++
	s.mu.Unlock()
	switch rand.IntN(50) {
	case 0:
		time.Sleep(10 * time.Millisecond)
	case 1:
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		s.check("Ping in a callback", s.client.Ping(ctx))
	}
}

// check takes an error that a node under torment may cause, and no other.
func (s *soaker) check(what string, err error) {
	for _, may := range []error{
		nil, client.ErrDisconnected, client.ErrTimeout, client.ErrNoRoute, client.ErrRateLimited,
		client.ErrServiceUnavailable, client.ErrInvalidRequestID, // of an answer that was late
	} {
		if errors.Is(err, may) {
			return
		}
	}
	s.fault("%s: %v", what, err)
}

// work makes calls until stop is closed.
func (s *soaker) work(stop <-chan struct{}) {
	defer close(s.done)
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		ctx, cancel := context.Background(), func() {}
		if rand.IntN(4) > 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(300))*time.Millisecond)
		}
		what, call := s.draw(n)
		s.doing.Store(what)
		s.check(what, call(ctx))
		s.calls.Add(1)
		cancel()
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
}

// draw picks a call.
func (s *soaker) draw(n int) (what string, call func(context.Context) error) {
	other := s.others[rand.IntN(len(s.others))]
	payload := fmt.Sprintf("%d to %d: %d", s.number, other.number, n)
	switch rand.IntN(12) {
	case 0:
		return "Settle", s.settle
	case 1:
		return "Subscribe", func(ctx context.Context) error {
			ghost, err := s.client.Subscribe(ctx, s.topic("ghost"), func(client.Message) {})
			if err == nil {
				s.ghosts = append(s.ghosts, ghost)
			}
			return err
		}
	case 2:
		return "Unsubscribe", func(ctx context.Context) error {
			if len(s.ghosts) == 0 {
				return nil
			}
			err := s.ghosts[0].Unsubscribe(ctx)
			if err == nil {
				s.ghosts = s.ghosts[1:]
			}
			return err
		}
	case 3:
		return "Register", func(ctx context.Context) error {
			return s.client.Register(ctx, client.Registration{Name: s.topic("name"),
				Description: fmt.Sprint("as of ", n)})
		}
	case 4:
		return "Publish", func(ctx context.Context) error {
			return s.client.Publish(ctx, other.topic("own"), []byte("not acknowledged"))
		}
	case 5, 6, 7:
		return "Request", func(ctx context.Context) error {
			answer, err := s.client.Request(ctx, other.topic("service"), []byte(payload))
			if err == nil && string(answer) != payload {
				s.fault("request %q was answered %q", payload, answer)
			}
			return err
		}
	case 8, 9:
		other = s
	}
	return "PublishAck", func(ctx context.Context) error { return s.publish(ctx, other, payload) }
}

// settle notes that everything that arrived before has been taken.
func (s *soaker) settle(ctx context.Context) error {
	begun := time.Now()
	err := s.client.Settle(ctx)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.proofs = append(s.proofs, [2]time.Time{begun, time.Now()})
	}
	return err
}

func (s *soaker) publish(ctx context.Context, to *soaker, payload string) error {
	sent := time.Now()
	ack, err := s.client.PublishAck(ctx, to.topic("own"), []byte(payload))
	if err != nil {
		return err
	}
	if ack.Subscribers < 1 { // 2: the node has not seen the end of an older connection.
		s.fault("acknowledged with %+v", ack)
	}
	if ack.Dropped == 0 {
		to.mu.Lock()
		defer to.mu.Unlock()
		to.expected = append(to.expected, delivery{payload, to == s, sent, time.Now()})
	}
	return nil
}

// audit compares what was acknowledged with what arrived. What another sent may
// be lost with the connection, or told as lost.
func (s *soaker) audit() (delivered, excused int, faults []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []delivery
	for _, d := range s.expected {
		switch n := s.seen[d.payload]; {
		case n == 1:
			delivered++
		case n > 1:
			s.faults = append(s.faults, fmt.Sprintf("%q arrived %d times", d.payload, n))
		case !d.own && s.lostWith(d):
			excused++
		default:
			missing = append(missing, d)
		}
	}
	if uint64(len(missing)) > s.gaps {
		s.faults = append(s.faults, fmt.Sprintf("acknowledged, did not arrive: %+v; losses: %+v;"+
			" %d were told as lost", missing, s.losses, s.gaps))
	}
	return delivered, excused, s.faults
}

// lostWith reports whether the connection that d was to come over was lost
// before everything that had come over it is known to have been taken. The node
// may have taken it for one that stands until the client was back.
func (s *soaker) lostWith(d delivery) bool {
	for _, p := range s.proofs {
		if !p[0].After(d.acked) {
			continue
		}
		return slices.ContainsFunc(s.losses, func(l loss) bool {
			return l.begun.Before(p[1]) && (l.ended.IsZero() || l.ended.After(d.sent))
		})
	}
	return false
}

// torment restarts, limits and stalls the node until the time is over.
func torment(n *node, random *rand.Rand) (events int) {
	ms := func(most int) time.Duration {
		return time.Duration(random.IntN(most)) * time.Millisecond
	}
	for end := time.Now().Add(*soakTime); time.Now().Before(end); events++ {
		signal := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[random.IntN(2)]
		if random.IntN(2) == 0 {
			n.signal(syscall.SIGSTOP)
			time.Sleep(ms(1500))
			n.signal(syscall.SIGCONT)
		} else {
			n.end(signal)
			time.Sleep(ms(200))
			limit := []int{0, 5, 20, 100}[random.IntN(4)]
			n.start(append(soakSettings, fmt.Sprint("rate.limit.global.per.service=", limit))...)
		}
		time.Sleep(ms(500))
	}
	return events
}

var soakSettings = []string{
	"shutdown.timeout=1000", "connection.heartbeatRetryTimeout=500",
	"connection.heartbeatDeregisterTimeout=1500",
}

// Whatever becomes of the node, every call returns, every subscription stands
// when it is well again and no other does, what was acknowledged arrived, and
// nothing is left when the clients are closed.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-soak.seed %d", seed)
	n := startNode(t, soakSettings...)
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	all := soakersOf(t, n)
	stop := make(chan struct{})
	for _, s := range all {
		go s.work(stop)
	}
	events := torment(n, rand.New(rand.NewPCG(seed, 0)))
	n.end(syscall.SIGTERM)
	n.start(soakSettings...)
	close(stop)
	for _, s := range all {
		select {
		case <-s.done:
		case <-time.After(patience):
			t.Fatalf("client %d waits for ever in %v", s.number, s.doing.Load())
		}
	}
	var calls int64
	var delivered, excused int
	for _, s := range all {
		calls += s.calls.Load()
		s.finish(t)
	}
	checkNames(t, all)
	for _, s := range all {
		d, e, faults := s.audit()
		delivered, excused = delivered+d, excused+e
		for _, fault := range faults {
			t.Errorf("client %d: %s", s.number, fault)
		}
		_ = s.client.Close() // It never fails.
		<-s.client.Done()
	}
	t.Logf("%d torments, %d calls; %d acknowledged messages came, %d went with their connections",
		events, calls, delivered, excused)
	if delivered == 0 || excused > delivered {
		t.Error("the soak shows nothing")
	}
	clear(all)
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
		}
		time.Sleep(time.Millisecond)
	}
	if now := heapInUse(); now > heap+4<<20 {
		t.Errorf("%d bytes of heap, %d before", now, heap)
	}
}

func soakersOf(t *testing.T, n *node) []*soaker {
	t.Helper()
	all := make([]*soaker, soakClients)
	ctx, cancel := testContext(t)
	defer cancel()
	for i := range all {
		all[i] = &soaker{
			number: i, others: all, done: make(chan struct{}), seen: make(map[string]int),
		}
		if err := all[i].connect(ctx, n.URL([]string{"tcp", "ws"}[i%2])); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// finish ends what is not to stand, and waits for the rest to do so.
func (s *soaker) finish(t *testing.T) {
	t.Helper()
	ctx, cancel := testContext(t)
	defer cancel()
	for _, ghost := range s.ghosts {
		for ghost.Unsubscribe(ctx) != nil && ctx.Err() == nil {
		}
	}
	want := []string{
		"publish " + s.topic("own"), "request " + s.topic("service"),
	}
	for i := range soakTopics {
		want = append(want, fmt.Sprintf("publish %s.x%d", s.topic("many"), i))
	}
	slices.Sort(want)
	var got []string
	for {
		got = s.subscriptions(ctx)
		if reflect.DeepEqual(got, want) {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("client %d has the subscriptions %q at the node, want %q", s.number, got, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, kind := range []string{s.topic("own"), s.topic("many") + ".x0"} {
		payload := "at the end on " + kind
		if ack, err := s.client.PublishAck(ctx, kind, []byte(payload)); err != nil ||
			ack.Subscribers != 1 {
			t.Errorf("client %d: %+v, %v", s.number, ack, err)
		}
		if err := s.settle(ctx); err != nil {
			t.Errorf("client %d: %v", s.number, err)
		}
		s.mu.Lock()
		if s.seen[payload] != 1 {
			t.Errorf("client %d: %q did not arrive", s.number, payload)
		}
		s.mu.Unlock()
	}
}

// subscriptions are what the node says of the client.
func (s *soaker) subscriptions(ctx context.Context) (all []string) {
	answer, err := s.client.System(ctx, "system.service.subscriptions", nil)
	if err != nil {
		return []string{err.Error()}
	}
	var list struct {
		Subscriptions []struct{ Action, Topic string }
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return []string{err.Error()}
	}
	for _, sub := range list.Subscriptions {
		all = append(all, sub.Action+" "+sub.Topic)
	}
	slices.Sort(all)
	return all
}

// checkNames holds that every client is registered.
func checkNames(t *testing.T, all []*soaker) {
	t.Helper()
	ctx, cancel := testContext(t)
	defer cancel()
	answer, err := all[0].client.System(ctx, "system.service.list", nil)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Services []struct{ ID, Name string } }
	if err := json.Unmarshal(answer, &list); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]string)
	for _, service := range list.Services {
		names[service.ID] = service.Name
	}
	for _, s := range all {
		if name := names[s.client.ServiceID()]; name != s.topic("name") {
			t.Errorf("client %d is registered as %q", s.number, name)
		}
	}
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // What pools hold goes with the second.
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
