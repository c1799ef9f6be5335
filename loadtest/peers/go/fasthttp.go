// go-fasthttp: fasthttp with the routes that treadle-bench has.
//
//	go-fasthttp --port N [--workers N] [--root DIR] [--cert PEM --key PEM]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

var root = flag.String("root", "", "directory to serve")

func die(what ...interface{}) {
	fmt.Fprintln(os.Stderr, append([]interface{}{"go-fasthttp:"}, what...)...)
	os.Exit(1)
}

func plaintext(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("text/plain")
	ctx.WriteString("Hello, World!")
}

type message struct {
	Message string `json:"message"`
}

func jsonMessage(ctx *fasthttp.RequestCtx) {
	text, err := json.Marshal(message{"Hello, World!"})
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyRaw(text)
}

func echo(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("application/octet-stream")
	ctx.Response.SetBodyRaw(ctx.PostBody())
}

func millisecondsAsked(ctx *fasthttp.RequestCtx) (time.Duration, bool) {
	ms, err := ctx.QueryArgs().GetUint("ms")
	if err != nil || ms > 10000 {
		ctx.Error("?ms=N needs a number from 0 to 10000", fasthttp.StatusBadRequest)
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// Blocks its thread in a system call that the runtime is told of, or not.
func slow(ctx *fasthttp.RequestCtx) {
	d, ok := millisecondsAsked(ctx)
	if !ok {
		return
	}
	switch string(ctx.QueryArgs().Peek("how")) {
	case "", "wrapped":
		sleepWrapped(d)
	case "unwrapped":
		sleepUnwrapped(d)
	default:
		ctx.Error("?how= is wrapped or unwrapped", fasthttp.StatusBadRequest)
		return
	}
	ctx.SetContentType("text/plain")
	ctx.WriteString("slow\n")
}

func spin(ctx *fasthttp.RequestCtx) {
	d, ok := millisecondsAsked(ctx)
	if !ok {
		return
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
	ctx.SetContentType("text/plain")
	ctx.WriteString("spun\n")
}

// Not fasthttp's own file handler, which keeps files in memory for ten seconds. Path() is cleaned of
// "..", and fasthttp sends an *os.File by sendfile and closes it.
func file(ctx *fasthttp.RequestCtx) {
	if *root == "" || !ctx.IsGet() {
		ctx.NotFound()
		return
	}
	f, err := os.Open(filepath.Join(*root, string(ctx.Path())))
	if err != nil {
		ctx.NotFound()
		return
	}
	status, err := f.Stat()
	if err != nil || !status.Mode().IsRegular() {
		f.Close()
		ctx.NotFound()
		return
	}
	ctx.SetContentType("application/octet-stream")
	ctx.Response.Header.SetLastModified(status.ModTime())
	ctx.Response.SetBodyStream(f, int(status.Size()))
}

func handle(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Path()) {
	case "/plaintext":
		plaintext(ctx)
	case "/json":
		jsonMessage(ctx)
	case "/echo":
		echo(ctx)
	case "/slow":
		slow(ctx)
	case "/spin":
		spin(ctx)
	default:
		file(ctx)
	}
}

func main() {
	port := flag.Int("port", 0, "port on 127.0.0.1")
	workers := flag.Int("workers", 1, "GOMAXPROCS")
	cert := flag.String("cert", "", "certificate, PEM: the server speaks TLS")
	key := flag.String("key", "", "its key, PEM")
	flag.Parse()
	if *port < 1 || *port > 65535 || *workers < 1 || flag.NArg() > 0 || (*cert == "") != (*key == "") {
		die("needs --port from 1 to 65535, --workers from 1, and --cert and --key together or neither")
	}
	runtime.GOMAXPROCS(*workers)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		os.Exit(0)
	}()
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		die(err)
	}
	server := &fasthttp.Server{
		Handler:               handle,
		NoDefaultServerHeader: true,
		MaxRequestBodySize:    64 << 20,
	}
	if *cert != "" {
		err = server.ServeTLS(listener, *cert, *key)
	} else {
		err = server.Serve(listener)
	}
	die(err)
}
