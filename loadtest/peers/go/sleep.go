package main

import (
	"syscall"
	"time"
	"unsafe"
)

// nanosleep(2) through the calls that tell Go's scheduler that the thread may block.
func sleepWrapped(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}

// The same past the scheduler, as a call in a library that Go knows nothing of.
func sleepUnwrapped(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	for {
		_, _, e := syscall.RawSyscall(syscall.SYS_NANOSLEEP,
			uintptr(unsafe.Pointer(&left)), uintptr(unsafe.Pointer(&left)), 0)
		if e != syscall.EINTR {
			return
		}
	}
}
