#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "flags.h"
#include "samples.h"

namespace load {

enum class Step { pending, done, failed };

// A client: one connection at a time, one operation at a time (a request on a kept connection, or a
// connection from its first packet to its last). Registers its descriptor with the driver's epoll
// instance under `this`, edge-triggered for both directions.
class Client {
 public:
  virtual ~Client() = default;
  // Begins an operation.
  virtual Step start() = 0;
  // Goes on with it after an event. Also called for events between operations: then pending is
  // fine, failed means that the connection is lost.
  virtual Step ready() = 0;
  // Whether start() may be called again after a failure.
  virtual bool restarts() const = 0;
  virtual const std::string& error() const = 0;

 private:
  friend class Driver;
  std::int64_t due_ = 0;
  bool busy_ = false;
  bool lost_ = false;
};

// How a measurement goes; see Driver::usage for the flags.
struct Plan {
  double rate = 0;     // operations a second; 0 is a closed loop
  double seconds = 2;  // of the measured window
  double warmup = 0.2;
  bool spin = false;
  bool gate = false;

  static Plan from(Flags& flags);
};

// Runs operations on a set of clients and times them.
//
// Closed loop (rate 0): each client starts its next operation when it has finished one; a latency
// counts from there. Fixed rate: operations fall due at random moments (a Poisson process of a
// fixed seed, the same for every server), whatever the server does; one that is due goes to the
// client that has been free for longest, or waits for one, and its latency counts from when it was
// DUE. So a server that stands still for a second is charged with every request of that second.
//
// What was due and not answered when the window and its grace were over counts as an error, and
// with the time it has waited so far. SIGTERM ends a window at once, without such errors.
class Driver {
 public:
  static const char* usage;

  explicit Driver(const Plan& plan);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  int epoll() const { return epoll_; }
  void add(std::unique_ptr<Client> client);

  // Lets every client do one operation, at most `window` at a time: connections are made without
  // overrunning the server's backlog. Ends the program when one fails.
  void once(std::size_t window);

  // Warm-up, gate, measured window, one line of JSON on standard output, gate.
  void measure();

  // With a gate: prints the word and waits for a line, so that whoever started us can look at a
  // server that has nothing to do. Ends the program at the end of input.
  void gate(const char* word);

  int errors() const { return errors_; }
  const std::string& first_error() const { return first_error_; }

 private:
  void window(double seconds, std::int64_t grace);
  void fall_due(std::int64_t now);
  void start_free(std::int64_t now);
  void start(Client& client, std::int64_t due);
  void step(Client& client, Step result);
  void wait(std::int64_t until);
  void give_up(std::int64_t now);
  void record(std::int64_t due, std::int64_t latency);
  std::int64_t typical_p99();
  std::string json();

  Plan plan_;
  int epoll_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::deque<Client*> free_;
  std::deque<std::int64_t> due_;  // due and not started
  std::size_t busy_ = 0;
  std::int64_t begin_ = 0;
  std::int64_t end_ = 0;  // nothing falls due, or is started anew, from here on
  double next_due_ = 0;   // since begin_; a double so that the mean rate is exact
  std::int64_t last_done_ = 0;
  std::int64_t done_ = 0;
  std::int64_t unsent_ = 0;
  std::int64_t unanswered_ = 0;
  int errors_ = 0;
  std::string first_error_;
  std::mt19937_64 random_{20240229};
  std::exponential_distribution<double> gap_;
  Samples latency_;
  Samples late_;                 // our own delay: from when something was due to when we looked
  std::vector<Samples> slices_;  // of a window at a rate: latencies by when they were due
};

}  // namespace load
