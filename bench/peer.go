//go:build linux

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// peer is command for the other brokers: their own programs, with persistence and logs off and no
// limit that a run meets.
func (r *runner) peer(target, transport string, port int) (
	cmd *exec.Cmd, cleanup func(), err error,
) {
	cleanup = func() {}
	p, path := strconv.Itoa(port), r.programs[target]
	var secure *certificate
	if overTLS(transport) {
		secure = r.shown
	}
	switch target {
	case "redis":
		return redisCommand(path, p, secure), cleanup, nil
	case mqttBroker:
		return mosquittoCommand(path, p, secure)
	case "nats", "centrifuge":
		flag := "-port"
		if plainOf(transport) == "ws" {
			flag = "-ws"
		}
		cmd := exec.Command(path, flag, p)
		if transport == withDeflate {
			cmd.Args = append(cmd.Args, "-deflate")
		}
		if secure != nil {
			cmd.Args = append(cmd.Args, "-cert", secure.cert, "-key", secure.key)
		}
		return cmd, cleanup, nil
	}
	return nil, nil, fmt.Errorf("no server for %s", target)
}

// cipherSuite is the one that the generator speaks, by the name that OpenSSL has for it.
const cipherSuite = "TLS_AES_128_GCM_SHA256"

func redisCommand(path, port string, secure *certificate) *exec.Cmd {
	cmd := exec.Command(path, "--bind", "127.0.0.1", "--save", "",
		"--appendonly", "no", "--maxclients", "10000",
		"--client-output-buffer-limit", "pubsub", "0", "0", "0")
	if secure == nil {
		cmd.Args = append(cmd.Args, "--port", port)
	} else {
		cmd.Args = append(cmd.Args, "--port", "0", "--tls-port", port, "--tls-auth-clients", "no",
			"--tls-cert-file", secure.cert, "--tls-key-file", secure.key,
			"--tls-ciphersuites", cipherSuite)
	}
	return cmd
}

// mosquittoCommand writes the configuration that this broker takes from a file only.
func mosquittoCommand(path, port string, secure *certificate) (*exec.Cmd, func(), error) {
	tls := ""
	if secure != nil {
		tls = fmt.Sprintf("certfile %s\nkeyfile %s\nciphers_tls1.3 %s\n",
			secure.cert, secure.key, cipherSuite)
	}
	f, err := os.CreateTemp("", "mb-bench-*.conf")
	if err != nil {
		return nil, nil, err
	}
	cleanup := func() { _ = os.Remove(f.Name()) } // A temporary file.
	_, err = fmt.Fprintf(f, "listener %s 127.0.0.1\nallow_anonymous true\npersistence false\n"+
		"log_type none\nmax_connections -1\nmax_queued_messages 0\nset_tcp_nodelay true\n"+
		"user root\n%s", port, tls)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		cleanup()
		return nil, nil, err
	}
	return exec.Command(path, "-c", f.Name()), cleanup, nil
}
