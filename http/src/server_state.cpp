#include "server_state.h"

#include <treadle/detail/resumable.h>
#include <treadle/log.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "connection.h"

namespace treadle::http::detail {
namespace {

// How many idle connections one walk finds, and how many stragglers a shutdown names.
constexpr std::size_t kCandidates = 64;
constexpr std::size_t kNamed = 20;

// A handshake is not ended for somebody else's sake before it has had so long.
constexpr Duration kPatience = std::chrono::seconds(1);

// When none was idle the connections are not walked over again before.
constexpr Duration kNextWalk = std::chrono::milliseconds(20);

}  // namespace

ServerState::ServerState(ServerOptions o, Handler h)
    : handler(std::move(h)),
      accept_context(with_cancel(background())),
      connections_context(with_cancel(background())),
      settings(make_settings(std::move(o))),
      newest_settings(settings.get()) {
  if (!handler) throw Panic("http: Server: the handler is empty");
}

ServerState::~ServerState() = default;

std::shared_ptr<const Settings> ServerState::current_settings() {
  const std::lock_guard guard(lock);
  return settings;
}

// Those before may be the last reference's: they go outside of the lock.
void ServerState::change_settings(std::shared_ptr<const Settings> next) {
  const std::lock_guard guard(lock);
  settings.swap(next);
  newest_settings.store(settings.get());
}

bool ServerState::start(const std::shared_ptr<ServerState>& self, Arrival arrival) {
  Semaphore::Hold slot = std::move(arrival.slot);
  if (!arrival.settings) arrival.settings = self->current_settings();
  auto c = std::make_shared<Connection>(self, std::move(arrival));
  c->slot = std::move(slot);
  self->add(*c);
  // close() goes through the list after setting the flag, so one of the two sees the connection.
  if (self->closed.load()) c->cut();
  try {
    if (treadle::detail::try_go_resumable([self, c]() -> const treadle::detail::Pollable* {
          if (const auto* awaited = c->go_on()) return awaited;
          self->leave(*c);
          return nullptr;
        }))
      return true;
  } catch (const std::bad_alloc&) {  // the same as no stack
  }
  c->cut();
  self->leave(*c);
  return false;
}

void ServerState::add(Connection& c) {
  bool first = false;
  {
    const std::lock_guard guard(lock);
    ++accepted;
    first = open++ == 0;
    c.listed = true;
    c.list_next = connections;
    if (connections != nullptr) connections->list_previous = &c;
    connections = &c;
  }
  if (first) connections_alive.add(1);
}

void ServerState::leave(Connection& c) {
  bool last = false;
  {
    const std::lock_guard guard(lock);
    if (!c.listed) return;
    c.listed = false;
    last = --open == 0;
    of_closed.requests += c.requests();
    of_closed.refused += c.refused();
    of_closed.cut += c.responses_cut();
    (c.list_previous != nullptr ? c.list_previous->list_next : connections) = c.list_next;
    if (c.list_next != nullptr) c.list_next->list_previous = c.list_previous;
  }
  c.slot = {};
  if (last) connections_alive.done();
}

std::vector<std::shared_ptr<Connection>> ServerState::current() {
  std::vector<std::shared_ptr<Connection>> all;
  const std::lock_guard guard(lock);
  all.reserve(open);
  for (Connection* c = connections; c != nullptr; c = c->list_next)
    all.push_back(c->shared_from_this());
  return all;
}

void ServerState::hurry_idle() {
  for (const auto& c : current()) c->hurry();
}

// Those that have had their last answer, then the idle ones; where there are none, those whose
// handshake has taken a while.
void ServerState::find_candidates(TimePoint now) {
  std::vector<std::pair<TimePoint, Connection*>> idle;
  std::vector<std::pair<TimePoint, Connection*>> slow;
  std::vector<std::pair<TimePoint, Connection*>> lingering;
  for (Connection* c = connections; c != nullptr; c = c->list_next) {
    if (c->lingering())
      lingering.emplace_back(c->idle_since(), c);
    else if (c->idle())
      idle.emplace_back(c->idle_since(), c);
    else if (c->opening() && now - c->idle_since() > kPatience)
      slow.emplace_back(c->idle_since(), c);
  }
  if (!lingering.empty()) idle.swap(lingering);
  if (idle.empty()) idle.swap(slow);
  const std::size_t n = std::min(idle.size(), kCandidates);
  const auto last = idle.begin() + static_cast<std::ptrdiff_t>(n);
  std::partial_sort(idle.begin(), last, idle.end());
  for (auto i = last; i != idle.begin();) {
    --i;
    candidates_.push_back({i->second->weak_from_this(), i->first});
  }
}

std::shared_ptr<Connection> ServerState::next_candidate() {
  // Before the lock: the last reference to one that has ended must not go under it.
  std::vector<std::shared_ptr<Connection>> passed_over;
  const TimePoint now = coarse_now();
  const std::lock_guard guard(lock);
  if (candidates_.empty()) {
    if (now < next_walk_) return nullptr;
    find_candidates(now);
    if (candidates_.empty()) next_walk_ = now + kNextWalk;
  }
  while (!candidates_.empty()) {
    const Candidate next = std::move(candidates_.back());
    candidates_.pop_back();
    auto c = next.connection.lock();
    if (c && (c->idle() || c->opening() || c->lingering()) && c->idle_since() == next.since)
      return c;
    passed_over.push_back(std::move(c));
  }
  return nullptr;
}

bool ServerState::shed_idle() {
  while (const auto c = next_candidate()) {
    if (!c->shed()) continue;
    const std::lock_guard guard(lock);
    ++shed;
    return true;
  }
  return false;
}

std::size_t ServerState::cut_all() noexcept {
  std::size_t busy = 0;
  for (const auto& c : current()) {
    if (c->busy()) ++busy;
    c->cut();
  }
  return busy;
}

void ServerState::name_stragglers() {
  std::size_t named = 0;
  for (const auto& c : current()) {
    const std::string name = c->straggler();
    if (name.empty()) continue;
    if (++named > kNamed) return;
    log::warn("http: shutdown: cutting {}", name);
  }
}

ServerStats ServerState::stats() noexcept {
  const std::lock_guard guard(lock);
  ServerStats s = of_closed;
  s.accepted = accepted;
  s.connections = open;
  s.shed = shed;
  for (const Connection* c = connections; c != nullptr; c = c->list_next) {
    s.requests += c->requests();
    s.refused += c->refused();
    s.cut += c->responses_cut();
  }
  if (access_log) s.access_log_dropped = access_log->dropped();
  return s;
}

}  // namespace treadle::http::detail
