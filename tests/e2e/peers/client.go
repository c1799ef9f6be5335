// Go's net/http client as a peer; run by run.sh, with the standard library alone.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	demo   = os.Getenv("DEMO")
	files  = os.Getenv("FILES")
	root   = os.Getenv("ROOT")
	failed atomic.Int32
)

func check(what string, fine bool, about ...any) {
	if !fine {
		failed.Add(1)
		fmt.Fprintln(os.Stderr, "go client:", what, fmt.Sprint(about...))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go client:", err)
		os.Exit(1)
	}
	return value
}

// A client that follows no redirections, with connections of its own.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			ExpectContinueTimeout: 30 * time.Second,
			MaxIdleConnsPerHost:   64,
		},
		Timeout:       60 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func body(r *http.Response) []byte {
	defer r.Body.Close()
	return must(io.ReadAll(r.Body))
}

func keepAlive() {
	client := newClient()
	reused := 0
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if info.Reused {
			reused++
		}
	}}
	for i := 0; i < 20; i++ {
		path := []string{"/hello", "/json", "/nowhere", "/sleep?ms=1"}[i%4]
		req := must(http.NewRequest("GET", demo+path, nil))
		r := must(client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace))))
		body(r)
		check("status", r.StatusCode == map[bool]int{true: 404, false: 200}[path == "/nowhere"], r.Status)
	}
	check("one connection", reused == 19, reused)
}

func methods() {
	client := newClient()
	r := must(client.Head(files + "/large.bin"))
	check("HEAD", r.ContentLength == 20000000 && len(body(r)) == 0, r.ContentLength)
	r = must(client.Do(must(http.NewRequest("DELETE", demo+"/hello", nil))))
	check("405", r.StatusCode == 405 && r.Header.Get("Allow") == "GET, HEAD", r.Status, r.Header)
	r = must(client.Do(must(http.NewRequest("BREW", demo+"/hello", nil))))
	check("501", r.StatusCode == 501, r.Status)
	r = must(client.Do(must(http.NewRequest("OPTIONS", demo+"/echo", nil))))
	check("OPTIONS", r.StatusCode == 204 && r.Header.Get("Allow") == "POST", r.Status, r.Header)
	r = must(client.Get(files + "/sub"))
	check("redirect", r.StatusCode == 301 && r.Header.Get("Location") == "/sub/", r.Status, r.Header)
	r = must(http.Get(files + "/sub"))
	check("followed", strings.Contains(string(body(r)), "index of sub"), r.Status)
}

func ranges(large []byte) {
	client := newClient()
	get := func(field, value string) (*http.Response, []byte) {
		req := must(http.NewRequest("GET", files+"/large.bin", nil))
		req.Header.Set(field, value)
		r := must(client.Do(req))
		return r, body(r)
	}
	r, got := get("Range", "bytes=1000000-1999999")
	check("range", r.StatusCode == 206 && bytes.Equal(got, large[1000000:2000000]), r.Status)
	check("content range", r.Header.Get("Content-Range") == "bytes 1000000-1999999/20000000")
	r, got = get("Range", "bytes=-5")
	check("suffix", r.StatusCode == 206 && bytes.Equal(got, large[len(large)-5:]), r.Status)
	etag := r.Header.Get("ETag")
	r, got = get("If-None-Match", etag)
	check("304", r.StatusCode == 304 && len(got) == 0, r.Status)
	r, _ = get("Range", "bytes=20000000-")
	check("416", r.StatusCode == 416, r.Status)
}

// A body of no known length, with a trailer that is set once it has been read.
type trailing struct {
	io.Reader
	req *http.Request
}

func (t trailing) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if err == io.EOF {
		t.req.Trailer.Set("X-Checksum", "1234")
	}
	return n, err
}

func uploads(large []byte) {
	client := newClient()
	got100 := false
	req := must(http.NewRequest("POST", demo+"/echo", bytes.NewReader(large[:3000000])))
	req.Header.Set("Expect", "100-continue")
	trace := &httptrace.ClientTrace{Got100Continue: func() { got100 = true }}
	r := must(client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace))))
	check("echo", bytes.Equal(body(r), large[:3000000]), r.Status)
	check("100 Continue", got100)

	req = must(http.NewRequest("POST", demo+"/echo", nil))
	req.Trailer = http.Header{"X-Checksum": nil}
	req.Body = io.NopCloser(trailing{bytes.NewReader(large[:2000000]), req})
	r = must(client.Do(req))
	check("chunked with a trailer", bytes.Equal(body(r), large[:2000000]), r.Status)

	// What is written comes back while the rest is still to be written.
	in, out := io.Pipe()
	req = must(http.NewRequest("POST", demo+"/echo", in))
	done := make(chan *http.Response)
	go func() { done <- must(client.Do(req)) }()
	must(out.Write([]byte("first")))
	r = <-done
	first := make([]byte, 5)
	must(io.ReadFull(r.Body, first))
	must(out.Write([]byte("second")))
	out.Close()
	check("both ways at once", string(first) == "first" && string(body(r)) == "second")

	req = must(http.NewRequest("POST", demo+"/echo", bytes.NewReader(large[:12000000])))
	req.Header.Set("Expect", "100-continue")
	r = must(client.Do(req))
	check("too large", r.StatusCode == 413, r.Status)
	body(r)
}

func downloads(large []byte) {
	client := newClient()
	check("large file", bytes.Equal(body(must(client.Get(files+"/large.bin"))), large))
	for i := 0; i < 20; i++ { // clients that have seen enough
		r := must(client.Get(files + "/large.bin"))
		must(io.CopyN(io.Discard, r.Body, 10000))
		r.Body.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	_, err := client.Do(must(http.NewRequestWithContext(ctx, "GET", demo+"/sleep?ms=10000", nil)))
	cancel()
	check("gives up", err != nil)
	check("goes on", string(body(must(client.Get(demo+"/hello")))) == "Hello, World!")
}

func concurrently() {
	client := newClient()
	var all sync.WaitGroup
	for i := 0; i < 50; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			for j := 0; j < 20; j++ {
				text := strings.Repeat(fmt.Sprintf("%d-%d;", i, j), 100)
				r := must(client.Post(demo+"/echo", "text/plain", strings.NewReader(text)))
				check("concurrent echo", string(body(r)) == text)
			}
		}(i)
	}
	all.Wait()
}

// Go's client does not pipeline, but it reads what a connection on which we do answers.
func pipelined() {
	at := must(url.Parse(demo)).Host
	conn := must(net.Dial("tcp", at))
	defer conn.Close()
	must(0, conn.SetDeadline(time.Now().Add(60*time.Second)))
	const n = 500
	go func() {
		for i := 0; i < n; i++ {
			text := fmt.Sprint("body ", i)
			fmt.Fprintf(conn, "GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n"+
				"POST /echo HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", at, at, len(text), text)
		}
	}()
	in := bufio.NewReader(conn)
	for i := 0; i < n; i++ {
		hello := string(body(must(http.ReadResponse(in, nil))))
		echo := string(body(must(http.ReadResponse(in, nil))))
		check("pipelined", hello == "Hello, World!" && echo == fmt.Sprint("body ", i), hello, echo)
	}
}

func main() {
	large := must(os.ReadFile(root + "/large.bin"))
	keepAlive()
	methods()
	ranges(large)
	uploads(large)
	downloads(large)
	concurrently()
	pipelined()
	if failed.Load() > 0 {
		os.Exit(1)
	}
}
