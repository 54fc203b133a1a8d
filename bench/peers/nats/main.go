// Command nats runs a NATS server for the benchmark: the server as it is, with no pings, which the
// generator would have to tell from messages.
//
//	nats -port 4222 | nats -ws 8080 | nats -config nats.conf
//	nats -port 4222 -cluster 6222 -routes 127.0.0.1:6223
//
// With -cert and -key it speaks TLS, over TCP from the first byte. With -cluster it is one of
// several servers.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	port := flag.Int("port", -1, "TCP port, -1: any")
	ws := flag.Int("ws", 0, "WebSocket port, 0: none")
	cert := flag.String("cert", "", "certificate file, empty: no TLS")
	key := flag.String("key", "", "key file")
	cluster := flag.Int("cluster", 0, "port for other servers, 0: there are none")
	routes := flag.String("routes", "", "`HOST:PORT` of another server")
	config := flag.String("config", "", "configuration file, in place of all else")
	flag.Parse()
	o := &server.Options{
		Host: "127.0.0.1", Port: *port, NoLog: true, NoSigs: true,
		MaxConn: 100_000, MaxPayload: 1 << 20,
		PingInterval: time.Hour, DisableShortFirstPing: true,
	}
	var secure *tls.Config
	if *cert != "" {
		own, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			fmt.Fprintln(os.Stderr, "nats:", err)
			os.Exit(1)
		}
		secure = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}}
		o.TLSConfig, o.TLSHandshakeFirst = secure.Clone(), true
	}
	if *ws > 0 {
		o.Websocket = server.WebsocketOpts{Host: "127.0.0.1", Port: *ws, NoTLS: secure == nil,
			TLSConfig: secure}
	}
	if *cluster > 0 {
		o.Cluster = server.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: *cluster}
	}
	if *routes != "" {
		o.Routes = []*url.URL{{Scheme: "nats-route", Host: *routes}}
	}
	if *config != "" {
		read, err := server.ProcessConfigFile(*config)
		if err != nil {
			fmt.Fprintln(os.Stderr, "nats:", err)
			os.Exit(1)
		}
		o = read
		o.NoSigs = true
	}
	s, err := server.NewServer(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1)
	}
	s.Start()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	s.Shutdown()
}
