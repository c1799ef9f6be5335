import os
import subprocess
import sys
import time
import unittest

from bench import proc

BURN = "import time\nt = time.process_time()\nwhile time.process_time() - t < {}: pass\n"
THREADS = ("import threading, time\n"
           "def burn():\n"
           "  t = time.thread_time()\n"
           "  while time.thread_time() - t < 0.05: pass\n"
           "input()\n"
           "for _ in range(4):\n"
           "  t = threading.Thread(target=burn); t.start(); t.join()\n"
           "print(flush=True)\n"
           "input()\n")


class CpuMeter(unittest.TestCase):
    def start(self, code):
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        return child

    def test_threads_that_ended_count(self):
        child = self.start(THREADS)
        time.sleep(0.3)
        meter = proc.CpuMeter(child.pid)
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        self.assertGreater(meter.elapsed(), 0.19e9)
        self.assertLess(meter.elapsed(), 0.6e9)

    def test_children_count(self):
        child = self.start("import subprocess, sys\n"
                           f"subprocess.run([sys.executable, '-c', {BURN.format(0.3)!r} + 'input()'])")
        meter = proc.CpuMeter(child.pid)
        limit = time.monotonic() + 20
        while meter.elapsed() < 0.3e9 and time.monotonic() < limit:
            time.sleep(0.05)
        self.assertGreaterEqual(meter.elapsed(), 0.3e9)
        for pid in proc.tree(child.pid)[1:]:
            os.kill(pid, 9)

    def test_the_clock_is_the_sum_of_schedstat(self):
        child = self.start(BURN.format(0.2) + "print(flush=True)\ninput()")
        child.stdout.readline()
        time.sleep(0.1)
        schedstat = 0
        for task in os.listdir(f"/proc/{child.pid}/task"):
            with open(f"/proc/{child.pid}/task/{task}/schedstat", encoding="ascii") as f:
                schedstat += int(f.read().split()[0])
        self.assertEqual(proc.cpu_ns(child.pid), schedstat)

    def test_waiting_for_a_cpu_that_another_has_counts(self):
        cpu = min(os.sched_getaffinity(0))
        child, other = (self.start(f"import os\nos.sched_setaffinity(0, [{cpu}])\nprint(flush=True)\n"
                                   "input()\n" + BURN.format(0.3) + "print(flush=True)\ninput()")
                        for _ in range(2))
        for each in (child, other):
            each.stdout.readline()
        meter = proc.CpuMeter(child.pid)
        for each in (child, other):
            each.stdin.write(b"\n")
            each.stdin.flush()
        for each in (child, other):
            each.stdout.readline()
        self.assertGreater(meter.waited(), 0.1e9)

    def test_nothing_is_nothing(self):
        child = self.start("input()")
        time.sleep(0.3)
        meter = proc.CpuMeter(child.pid)
        self.assertEqual(meter.elapsed(), 0)
        self.assertLess(meter.waited(), 0.05e9)
        child.kill()
        child.wait()
        self.assertEqual(meter.elapsed(), 0)


class Memory(unittest.TestCase):
    def test_has_the_process_s_pages(self):
        got = proc.memory(os.getpid())
        self.assertGreater(got["pss"], 1 << 20)
        self.assertGreater(got["tables"], 4096)


if __name__ == "__main__":
    unittest.main()
