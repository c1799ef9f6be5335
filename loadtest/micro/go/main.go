// The microbenchmarks of treadle-micro, in Go: the same cases, batches and ways of counting.
//
//	micro-go CASE SECONDS     prints lines "metric value"
//	micro-go idle             does nothing for an hour
//
// GOMAXPROCS comes from the environment.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var origin = time.Now()

func now() int64 { return int64(time.Since(origin)) }

// Calls body, which does batch operations, for as long as wanted.
func repeat(batch int64, body func(n int64)) func(seconds float64) {
	return func(seconds float64) {
		body(batch / 10)
		begin := now()
		var n int64
		for float64(now()-begin) < seconds*1e9 {
			body(batch)
			n += batch
		}
		fmt.Printf("ns %.2f\nops %d\n", float64(now()-begin)/float64(n), n+batch/10)
	}
}

func single(measure func()) func(float64) { return func(float64) { measure() } }

func reportDelays(ns []int64) {
	sort.Slice(ns, func(i, j int) bool { return ns[i] < ns[j] })
	var sum int64
	for _, d := range ns {
		sum += d
	}
	n := len(ns)
	us := func(d int64) float64 { return float64(d) / 1000 }
	fmt.Printf("mean_us %.1f\np50_us %.1f\np99_us %.1f\nmax_us %.1f\nsamples %d\n",
		us(sum)/float64(n), us(ns[n/2]), us(ns[n*99/100]), us(ns[n-1]), n)
}

func procKB(file, name string) int64 {
	data, _ := os.ReadFile(file)
	for _, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, name+":") {
			kb, _ := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			return kb
		}
	}
	return 0
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "idle" {
		time.Sleep(time.Hour)
		return
	}
	if len(os.Args) != 3 || cases[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: micro-go CASE SECONDS")
		os.Exit(2)
	}
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, "micro-go: not a number of seconds:", os.Args[2])
		os.Exit(2)
	}
	cases[os.Args[1]](seconds)
}

var cases = map[string]func(seconds float64){
	"yield-2":         repeat(1_000_000, yieldAmong(2)),
	"yield-1000":      repeat(2_000_000, yieldAmong(1000)),
	"yield-100000":    repeat(5_000_000, yieldAmong(100_000)),
	"ping-pong":       repeat(200_000, pingPong),
	"ping-pong-2p":    repeat(200_000, pingPong),
	"stream":          repeat(1_000_000, stream),
	"stream-2p":       repeat(1_000_000, stream),
	"select-ready":    repeat(200_000, selectReady),
	"select-parked":   repeat(200_000, selectParked),
	"mutex-4":         repeat(200_000, mutexOf4),
	"spawn-join":      repeat(200_000, spawnBatches(1)),
	"spawn-100":       repeat(200_000, spawnBatches(100)),
	"spawn-1000":      repeat(200_000, spawnBatches(1000)),
	"fan-out":         single(fanOut),
	"timer":           repeat(200_000, timerStartStop),
	"timer-churn":     repeat(4*live, timerChurn),
	"blocking":        single(blockingCall),
	"hand-off-hint":   single(func() { handOff(1000) }),
	"hand-off-long":   single(func() { handOff(1000) }),
	"hand-off-bare":   single(func() { handOff(50) }),
	"preempt-nothing": single(func() { reportDelays(watchSleeper()) }),
	"preempt-compute": single(besideComputing),
	"preempt-bursts":  single(besideBursts),
	"preempt-read":    single(besideRead),
	"parked":          single(parked),
}

// --- goroutines that begin and end

func batchOf(k int64) {
	var wg sync.WaitGroup
	wg.Add(int(k))
	for i := int64(0); i < k; i++ {
		go wg.Done()
	}
	wg.Wait()
}

func spawnBatches(k int64) func(int64) {
	return func(n int64) {
		for done := int64(0); done < n; done += k {
			batchOf(k)
		}
	}
}

const many = 1_000_000

func fanOut() {
	begin := now()
	batchOf(many)
	between := now()
	batchOf(many)
	fmt.Printf("first_ns %.2f\nagain_ns %.2f\n", float64(between-begin)/many, float64(now()-between)/many)
}

func residentKB() int64 {
	return procKB("/proc/self/status", "VmRSS") + procKB("/proc/self/status", "VmPTE")
}

func parked() {
	if procKB("/proc/meminfo", "MemAvailable") < 7_000_000 {
		fmt.Println("skipped needs 7 GB of free memory")
		return
	}
	gate := make(chan int)
	var started int64
	var ended sync.WaitGroup
	ended.Add(many)
	before := residentKB()
	for i := 0; i < many; i++ {
		go func() {
			atomic.AddInt64(&started, 1)
			<-gate
			ended.Done()
		}()
	}
	for atomic.LoadInt64(&started) < many {
		yield()
	}
	yield()
	fmt.Printf("bytes %.0f\n", float64(residentKB()-before)*1024/many)
	close(gate)
	ended.Wait()
}

// --- system calls and hogs

func rawGetppid()     { syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0) }
func wrappedGetppid() { syscall.Syscall(syscall.SYS_GETPPID, 0, 0, 0) }

func blockingCall() {
	const calls, chunks = 5_000, 201
	timeCalls := func(call func()) float64 {
		begin := now()
		for i := 0; i < calls; i++ {
			call()
		}
		return float64(now()-begin) / calls
	}
	var bare, wrapped []float64
	for i := 0; i < chunks; i++ {
		bare = append(bare, timeCalls(rawGetppid))
		wrapped = append(wrapped, timeCalls(wrappedGetppid))
	}
	sort.Float64s(bare)
	sort.Float64s(wrapped)
	fmt.Printf("bare_ns %.2f\nover_ns %.2f\n", bare[chunks/2], wrapped[chunks/2]-bare[chunks/2])
}

func pipe() [2]int {
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		panic(err)
	}
	return ends
}

// Go knows one kind of call: its wrapper gives the P up when sysmon comes by.
func handOff(samples int) {
	ends := pipe()
	calls := make(chan int64, 1)
	var delays []int64
	go func() {
		for since := range calls {
			delays = append(delays, now()-since)
			syscall.Write(ends[1], []byte("x"))
		}
		syscall.Close(ends[1])
	}()
	var b [1]byte
	for i := 0; i < samples; i++ {
		yield()
		calls <- now()
		syscall.Read(ends[0], b[:])
	}
	close(calls)
	syscall.Read(ends[0], b[:])
	reportDelays(delays)
}

const watch = int64(time.Second)

func watchSleeper() []int64 {
	var late []int64
	end := now() + watch
	for t := now(); t < end; {
		time.Sleep(time.Millisecond)
		woke := now()
		late = append(late, woke-t-int64(time.Millisecond))
		t = woke
	}
	return late
}

var sink uint64

func compute(duration int64, stop *int32) {
	end := now() + duration
	x := uint64(1)
	for atomic.LoadInt32(stop) == 0 && now() < end {
		for i := 0; i < 10_000; i++ {
			x = x*6364136223846793005 + 1
		}
	}
	sink += x
}

func beside(hog, stop func()) {
	var ended sync.WaitGroup
	ended.Add(1)
	go func() {
		hog()
		ended.Done()
	}()
	late := watchSleeper()
	stop()
	ended.Wait()
	reportDelays(late)
}

func besideComputing() {
	var stop int32
	beside(func() { compute(100*watch, &stop) }, func() { atomic.StoreInt32(&stop, 1) })
}

func besideBursts() {
	var stop int32
	beside(func() {
		for atomic.LoadInt32(&stop) == 0 {
			compute(20_000_000, &stop)
			yield()
		}
	}, func() { atomic.StoreInt32(&stop, 1) })
}

// Through Go's wrapper: a RawSyscall, the counterpart of an unannounced read, would hold the one P
// until the read ends, which here is for ever.
func besideRead() {
	ends := pipe()
	beside(func() {
		var b [1]byte
		syscall.Read(ends[0], b[:])
	}, func() { syscall.Close(ends[1]) })
}
