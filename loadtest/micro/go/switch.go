package main

import (
	"runtime"
	"sync"
	"time"
)

func yield() { runtime.Gosched() }

func yieldAmong(k int) func(int64) {
	return func(n int64) {
		var wg sync.WaitGroup
		wg.Add(k)
		each := n / int64(k)
		for i := 0; i < k; i++ {
			go func() {
				for j := int64(0); j < each; j++ {
					runtime.Gosched()
				}
				wg.Done()
			}()
		}
		wg.Wait()
	}
}

func pingPong(n int64) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for v := range ping {
			pong <- v
		}
		close(pong)
	}()
	for i := int64(0); i < n; i++ {
		ping <- 1
		<-pong
	}
	close(ping)
	<-pong
}

func stream(n int64) {
	ch := make(chan int64, 100)
	go func() {
		for i := int64(0); i < n; i++ {
			ch <- i
		}
		close(ch)
	}()
	var sum int64
	for v := range ch {
		sum += v
	}
	sink += uint64(sum)
}

// Four channels hold an element each; an operation is a select that takes one and a send that puts
// it back.
func selectReady(n int64) {
	var ch [4]chan int
	for i := range ch {
		ch[i] = make(chan int, 1)
		ch[i] <- i
	}
	for i := int64(0); i < n; i++ {
		var got int
		select {
		case got = <-ch[0]:
		case got = <-ch[1]:
		case got = <-ch[2]:
		case got = <-ch[3]:
		}
		ch[got] <- got
	}
}

// One goroutine waits in a select over four channels, another sends to them in turn; an operation
// is one element.
func selectParked(n int64) {
	var ch [4]chan int
	for i := range ch {
		ch[i] = make(chan int)
	}
	go func() {
		for i := int64(0); i < n; i++ {
			ch[i%4] <- 1
		}
	}()
	for i := int64(0); i < n; i++ {
		select {
		case <-ch[0]:
		case <-ch[1]:
		case <-ch[2]:
		case <-ch[3]:
		}
	}
}

func mutexOf4(n int64) {
	var mutex sync.Mutex
	var wg sync.WaitGroup
	wg.Add(4)
	for i := 0; i < 4; i++ {
		go func() {
			for j := int64(0); j < n/4; j++ {
				mutex.Lock()
				runtime.Gosched()
				mutex.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

func timerStartStop(n int64) {
	for i := int64(0); i < n; i++ {
		t := time.NewTimer(time.Hour)
		t.Stop()
	}
}

// 100,000 timers run, due within 36 minutes after an hour from now; an operation puts one off to
// another such time.
const live = 100_000

var timers []*time.Timer

func timerChurn(n int64) {
	if timers == nil {
		for i := 0; i < live; i++ {
			timers = append(timers, time.NewTimer(randomTime()))
		}
	}
	for i := int64(0); i < n; i++ {
		timers[i%live].Reset(randomTime())
	}
}

var random = uint64(1)

func randomTime() time.Duration {
	random = random*6364136223846793005 + 1442695040888963407
	return time.Hour + time.Duration(random>>33)*time.Microsecond
}
