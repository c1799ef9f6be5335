// go-nethttp: net/http with the routes that treadle-bench has.
//
//	go-nethttp --port N [--workers N] [--root DIR] [--cert PEM --key PEM] [--tcp-echo]
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func die(what ...interface{}) {
	fmt.Fprintln(os.Stderr, append([]interface{}{"go-nethttp:"}, what...)...)
	os.Exit(1)
}

func plaintext(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, "Hello, World!")
}

type message struct {
	Message string `json:"message"`
}

func jsonMessage(w http.ResponseWriter, r *http.Request) {
	text, err := json.Marshal(message{"Hello, World!"})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

var bodies = sync.Pool{New: func() interface{} { return new(bytes.Buffer) }}

// The whole body is read before the first byte goes back: net/http closes a connection whose
// response begins while more than 256 KiB of the request are unread.
func echo(w http.ResponseWriter, r *http.Request) {
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	body.Reset()
	if r.ContentLength > 0 && r.ContentLength <= 64<<20 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.Write(body.Bytes())
}

func millisecondsAsked(w http.ResponseWriter, r *http.Request) (time.Duration, bool) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil || ms < 0 || ms > 10000 {
		http.Error(w, "?ms=N needs a number from 0 to 10000", http.StatusBadRequest)
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// Blocks its thread in a system call that the runtime is told of, or not.
func slow(w http.ResponseWriter, r *http.Request) {
	d, ok := millisecondsAsked(w, r)
	if !ok {
		return
	}
	switch r.URL.Query().Get("how") {
	case "", "wrapped":
		sleepWrapped(d)
	case "unwrapped":
		sleepUnwrapped(d)
	default:
		http.Error(w, "?how= is wrapped or unwrapped", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, "slow\n")
}

func spin(w http.ResponseWriter, r *http.Request) {
	d, ok := millisecondsAsked(w, r)
	if !ok {
		return
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, "spun\n")
}

// The standard file server. Its type for ".bin" would depend on the machine's table.
func files(root string) http.Handler {
	server := http.FileServer(http.Dir(root))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		server.ServeHTTP(w, r)
	})
}

func echoBytes(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 16*1024)
	for {
		n, err := conn.Read(buffer)
		if n > 0 {
			if _, werr := conn.Write(buffer[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func serveTCPEcho(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			die(err)
		}
		go echoBytes(conn)
	}
}

func endOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		os.Exit(0)
	}()
}

func main() {
	port := flag.Int("port", 0, "port on 127.0.0.1")
	workers := flag.Int("workers", 1, "GOMAXPROCS")
	root := flag.String("root", "", "directory to serve")
	cert := flag.String("cert", "", "certificate, PEM: the server speaks TLS")
	key := flag.String("key", "", "its key, PEM")
	tcpEcho := flag.Bool("tcp-echo", false, "a TCP echo server instead")
	flag.Parse()
	if *port < 1 || *port > 65535 || *workers < 1 || flag.NArg() > 0 || (*cert == "") != (*key == "") {
		die("needs --port from 1 to 65535, --workers from 1, and --cert and --key together or neither")
	}
	runtime.GOMAXPROCS(*workers)
	endOnSignal()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		die(err)
	}
	if *tcpEcho {
		serveTCPEcho(listener)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/plaintext", plaintext)
	mux.HandleFunc("/json", jsonMessage)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/spin", spin)
	if *root != "" {
		mux.Handle("/", files(*root))
	}
	server := &http.Server{
		Handler: mux,
		// HTTP/1.1 is what is compared.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	if *cert != "" {
		err = server.ServeTLS(listener, *cert, *key)
	} else {
		err = server.Serve(listener)
	}
	die(err)
}
