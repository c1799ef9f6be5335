// Conversations over a transport that is cut in pieces, stalls and fails at every byte of them: the
// same bytes go out, or a beginning of them; nothing crashes or hangs, and no client's doing is
// logged as an error.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <treadle/http/file_server.h>

#include "connection.h"
#include "server_state.h"
#include "support/captured_stderr.h"
#include "support/faulty_conn.h"
#include "support/goroutine.h"
#include "support/pipe_conn.h"
#include "support/temporary_tree.h"

namespace treadle::http::detail {
namespace {

using namespace std::chrono_literals;
using test::FaultyConn;

struct Conversation {
  const char* name;
  std::string requests;  // the last one ends the connection
  std::size_t count;     // how many there are
  bool whole = true;     // whether the answer takes the whole request
};

std::string last(std::string_view line, std::string_view fields = {}) {
  return std::string(line) + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + std::string(fields) +
         "\r\n";
}

const std::vector<Conversation>& conversations() {
  static const std::vector<Conversation> all = {
      {"GET", last("GET /small"), 1},
      {"HEAD", last("HEAD /small"), 1},
      {"POST with a length", last("POST /echo", "Content-Length: 5\r\n") + "hello", 1},
      {"chunked POST",
       last("POST /echo", "Transfer-Encoding: chunked\r\n") +
           "3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: t\r\n\r\n",
       1},
      {"body left unread", last("POST /small", "Content-Length: 5\r\n") + "hello", 1, false},
      {"pipelined pair",
       "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none" + last("GET /stream"), 2},
      {"pipelined three",
       "GET /small HTTP/1.1\r\nHost: h\r\n\r\n"
       "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
       "3\r\ntwo\r\n0\r\n\r\n" +
           last("GET /not-modified"),
       3},
      {"304", last("GET /not-modified"), 1},
      {"redirect and 404", "GET /a//b HTTP/1.1\r\nHost: h\r\n\r\n" + last("GET /nowhere"), 2},
      {"streamed", last("GET /stream"), 1},
      {"file", last("GET /files/file"), 1},
      {"range of a file", last("GET /files/file", "Range: bytes=100-199\r\n"), 1},
      {"conditional file", last("GET /files/file", "If-None-Match: *\r\n"), 1},
  };
  return all;
}

constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";

// Small answers, streamed ones and files. The date is always the same, so that bytes compare.
class Site {
 public:
  Site() {
    std::string content(20'000, '\0');
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i % 23);
    tree_.make_directory("files");
    tree_.write("files/file", content);
    // Old, since the tag of a file that has just changed is another one two seconds later.
    std::filesystem::last_write_time(
        tree_.path("files/file"),
        std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
    files_ = file_server(tree_.path(""));
  }

  std::shared_ptr<ServerState> state(ServerOptions options = {}) const {
    return std::make_shared<ServerState>(
        std::move(options),
        Handler{[this](Response& res, const Request& req) { answer(res, req); }});
  }

 private:
  void answer(Response& res, const Request& req) const {
    res.header("Date", kDate);
    const std::string_view path = req.path();
    if (path.starts_with("/files/")) {
      files_(res, req);
    } else if (path == "/echo") {
      auto body = req.body().read_all();
      if (body) res.print("{}{}", *body, req.body().trailers().get("X-Trailer"));
    } else if (path == "/not-modified") {
      res.status(304).header("ETag", "\"e\"");
    } else if (path == "/stream") {
      for (int i = 0; i < 3; ++i)
        if (!res.print("part {};", i) || !res.flush()) return;
    } else if (path == "/small") {
      res.print("small");
    } else {
      res.send_error(404);
      res.header("Date", kDate);
    }
  }

  test::TemporaryTree tree_;
  Handler files_;
};

// `text` with the date of answers that the server makes by itself as the handlers' is, even where
// it is cut.
std::string with_fixed_dates(std::string text) {
  constexpr std::string_view kField = "Date: ";
  for (std::size_t at = 0; (at = text.find(kField, at)) != std::string::npos;) {
    at += kField.size();
    const std::size_t size = std::min(text.find('\r', at), text.size()) - at;
    text.replace(at, size, kDate.substr(0, size));
  }
  return text;
}

// A connection under way whose faults are set, and the client's end of it.
class Dialogue {
 public:
  template <class Prepare>
  Dialogue(const std::shared_ptr<ServerState>& state, Prepare prepare) : state_(state) {
    auto [theirs, ours] = test::make_pipe();
    theirs_ = std::move(theirs);
    auto faulty = std::make_unique<FaultyConn>(std::move(ours));
    faulty_ = faulty.get();
    prepare(*faulty);
    ServerState::start(state, {std::move(faulty)});
  }

  // Valid until the connection has ended.
  FaultyConn& faulty() noexcept { return *faulty_; }

  // False when the server has closed already.
  bool send(std::string_view bytes) { return static_cast<bool>(theirs_->write_all(bytes)); }

  // All that comes, and the connection's end with it.
  std::string finish() {
    (void)theirs_->shutdown_write();  // fails when the server has closed already
    return hear_out();
  }
  // The same of a client that has no more to say and does not tell.
  std::string hear_out() {
    std::string got;
    std::array<std::byte, 4096> buffer;
    for (;;) {
      const Result<std::size_t> n = theirs_->read(buffer);
      if (!n || *n == 0) break;
      got.append(reinterpret_cast<const char*>(buffer.data()), *n);
    }
    theirs_->close();
    state_->connections_alive.wait();
    return with_fixed_dates(std::move(got));
  }

 private:
  std::shared_ptr<ServerState> state_;
  std::unique_ptr<net::Conn> theirs_;
  FaultyConn* faulty_;
};

template <class Prepare>
std::string exchange(const std::shared_ptr<ServerState>& state, std::string_view requests,
                     Prepare prepare) {
  Dialogue x(state, prepare);
  x.send(requests);
  return x.finish();
}

std::string undisturbed(const Site& site, const Conversation& c) {
  return exchange(site.state(), c.requests, [](FaultyConn&) {});
}

// Every offset of short streams; of long ones those around the ends and some between.
std::vector<std::size_t> offsets(std::size_t size) {
  std::vector<std::size_t> all;
  for (std::size_t at = 0; at < size; at += at < 600 || at + 100 > size ? 1 : 487)
    all.push_back(at);
  return all;
}

// Some of them, for what takes its time.
std::vector<std::size_t> some_offsets(std::size_t size) {
  std::vector<std::size_t> some;
  const std::vector<std::size_t> all = offsets(size);
  for (std::size_t i = 0; i < all.size(); i += 31) some.push_back(all[i]);
  return some;
}

// Runs `body` for every conversation, with what it answers undisturbed; no SCOPED_TRACE, which
// belongs to a thread and not to a goroutine. Nothing that the faults
// lead to may be logged as an error or warning; of slow clients a line a second may tell.
template <class Body>
void for_each_conversation(Body body) {
  test::run([&] {
    const test::CapturedStderr captured;
    const Site site;
    for (const Conversation& c : conversations()) {
      body(site, c, undisturbed(site, c));
    }
    std::istringstream lines(captured.text());
    for (std::string line; std::getline(lines, line);)
      EXPECT_NE(line.find("cut: the client was too slow"), std::string::npos) << line;
  });
}

TEST(Faults, UndisturbedConversationsAreWhatTheyShouldBe) {
  for_each_conversation([](const Site&, const Conversation& c, const std::string& answers) {
    const std::string_view name = c.name;
    const auto has = [&](std::string_view part) { return answers.find(part) != std::string::npos; };
    std::size_t heads = 0;
    for (std::size_t at = 0; (at = answers.find("HTTP/1.1 ", at)) != std::string::npos; ++at)
      ++heads;
    EXPECT_EQ(heads, c.count) << c.name << '\n' << answers;
    if (name == "HEAD") {
      EXPECT_TRUE(answers.ends_with("\r\n\r\n")) << answers;
    }
    if (name == "chunked POST") {
      EXPECT_TRUE(answers.ends_with("\r\n\r\nhellot")) << answers;
    }
    if (name == "pipelined pair") {
      EXPECT_TRUE(has("\r\n\r\none") && has("part 2;\r\n0\r\n\r\n"));
    }
    if (name == "304") {
      EXPECT_TRUE(has(" 304 ") && answers.ends_with("\r\n\r\n")) << answers;
    }
    if (name == "redirect and 404") {
      EXPECT_TRUE(has("Location: /a/b\r\n") && has(" 404 "));
    }
    if (name == "file") {
      EXPECT_GT(answers.size(), 20'000U);
    }
    if (name == "range of a file") {
      EXPECT_TRUE(has(" 206 ") && has("bytes 100-199/20000"));
    }
    if (name == "conditional file") {
      EXPECT_TRUE(has(" 304 ")) << answers;
    }
  });
}

TEST(Faults, ShortReadsAndWritesAtEveryByteChangeNothing) {
  for_each_conversation([](const Site& site, const Conversation& c, const std::string& answers) {
    const auto state = site.state();
    const std::size_t pieces[] = {1, 2, 3, 7};
    for (const std::size_t n : pieces) {
      ASSERT_EQ(exchange(state, c.requests,
                         [&](FaultyConn& f) {
                           f.read_in_pieces({}, n);
                           f.write_in_pieces({}, n);
                         }),
                answers)
          << c.name << ": pieces of " << n;
    }
    for (const std::size_t at : offsets(c.requests.size()))
      ASSERT_EQ(exchange(state, c.requests, [&](FaultyConn& f) { f.read_in_pieces({at}); }),
                answers)
          << c.name << ": read cut at " << at;
    for (const std::size_t at : offsets(answers.size()))
      ASSERT_EQ(exchange(state, c.requests, [&](FaultyConn& f) { f.write_in_pieces({at}); }),
                answers)
          << c.name << ": write cut at " << at;
    EXPECT_EQ(state->stats().cut, 0U);
    EXPECT_EQ(state->stats().refused, 0U);
  });
}

// Whether `got` is nothing but whole answers of `answers`, in order, and maybe a refusal behind.
testing::AssertionResult whole_answers(std::string_view got, std::string_view answers) {
  std::size_t same = 0;
  while (same < got.size() && same < answers.size() && got[same] == answers[same]) ++same;
  if (same == got.size()) return testing::AssertionSuccess();
  // They part within the status line: of the answer that a whole request would have got, and of
  // the refusal.
  const std::size_t begin = got.rfind("HTTP/1.1 4");
  if (begin == std::string_view::npos || begin > same)
    return testing::AssertionFailure() << "differs at " << same << ":\n" << got;
  if (got.find("HTTP/1.1 ", begin + 1) != std::string_view::npos)
    return testing::AssertionFailure() << "an answer behind the refusal:\n" << got;
  if (got.find("Connection: close\r\n", begin) == std::string_view::npos)
    return testing::AssertionFailure() << "a refusal that keeps the connection:\n" << got;
  return testing::AssertionSuccess();
}

TEST(Faults, StreamThatEndsAtAnyByteIsAnsweredAsFarAsItGoes) {
  for_each_conversation([](const Site& site, const Conversation& c, const std::string& answers) {
    const auto state = site.state();
    for (const std::size_t at : offsets(c.requests.size())) {
      Dialogue x(state, [](FaultyConn&) {});
      x.send(std::string_view(c.requests).substr(0, at));
      const std::string got = x.finish();
      ASSERT_TRUE(whole_answers(got, answers)) << c.name << ": ended at " << at;
      // What was not whole must not be answered as if it were.
      if (c.whole) {
        ASSERT_NE(got, answers) << c.name << ": ended at " << at;
      }
    }
    EXPECT_EQ(state->stats().cut, 0U);
  });
}

TEST(Faults, ResetWhileReadingAtAnyByteEndsIt) {
  for_each_conversation([](const Site& site, const Conversation& c, const std::string& answers) {
    const auto state = site.state();
    for (const std::size_t at : offsets(c.requests.size())) {
      const std::string got =
          exchange(state, c.requests, [&](FaultyConn& f) { f.fail_reads_at_byte(at, ECONNRESET); });
      ASSERT_TRUE(whole_answers(got, answers)) << c.name << ": reset at " << at;
      if (c.whole) {
        ASSERT_NE(got, answers) << c.name << ": reset at " << at;
      }
    }
  });
}

// In each of so many exchanges the answer that a write was for was cut, and of those before it the
// ones that were held for the same write and did not leave whole.
void expect_cut(std::uint64_t cut, std::size_t exchanges, const Conversation& c) {
  EXPECT_GE(cut, exchanges) << c.name;
  EXPECT_LE(cut, exchanges * c.count) << c.name;
  if (c.count == 1) {
    EXPECT_EQ(cut, exchanges) << c.name;
  }
}

TEST(Faults, FailureWhileWritingAtAnyByteEndsItThere) {
  for_each_conversation([](const Site& site, const Conversation& c, const std::string& answers) {
    for (const int error : {EPIPE, ECONNRESET}) {
      const auto state = site.state();
      const std::vector<std::size_t> all = offsets(answers.size());
      for (const std::size_t at : all)
        ASSERT_EQ(
            exchange(state, c.requests, [&](FaultyConn& f) { f.fail_writes_at_byte(at, error); }),
            answers.substr(0, at))
            << c.name << ": failed at " << at;
      expect_cut(state->stats().cut, all.size(), c);
    }
  });
}

TEST(Faults, StallAtAnyByteDelaysAndChangesNothing) {
  for_each_conversation([](const Site& site, const Conversation& c, const std::string& answers) {
    const auto state = site.state();
    for (const std::size_t at : offsets(c.requests.size())) {
      Dialogue x(state, [&](FaultyConn& f) { f.stall_reads_at_byte(at); });
      ASSERT_TRUE(x.send(c.requests));
      x.faulty().wait_for_stalled_read();
      x.faulty().release_reads();
      ASSERT_EQ(x.finish(), answers) << c.name << ": read stalled at " << at;
    }
    for (const std::size_t at : offsets(answers.size())) {
      Dialogue x(state, [&](FaultyConn& f) { f.stall_writes_at_byte(at); });
      ASSERT_TRUE(x.send(c.requests));
      x.faulty().wait_for_stalled_write();
      x.faulty().release_writes();
      ASSERT_EQ(x.finish(), answers) << c.name << ": write stalled at " << at;
    }
    EXPECT_EQ(state->stats().cut, 0U);
  });
}

TEST(Faults, ShutdownDuringAStallAtAnyByteEndsIt) {
  for_each_conversation([](const Site& site, const Conversation& c, const std::string& answers) {
    for (const std::size_t at : offsets(c.requests.size())) {
      const auto state = site.state();
      Dialogue x(state, [&](FaultyConn& f) { f.stall_reads_at_byte(at); });
      ASSERT_TRUE(x.send(c.requests));
      x.faulty().wait_for_stalled_read();
      state->cut_all();
      ASSERT_TRUE(whole_answers(x.finish(), answers)) << c.name << ": read stalled at " << at;
    }
    for (const std::size_t at : offsets(answers.size())) {
      const auto state = site.state();
      Dialogue x(state, [&](FaultyConn& f) { f.stall_writes_at_byte(at); });
      ASSERT_TRUE(x.send(c.requests));
      x.faulty().wait_for_stalled_write();
      state->cut_all();
      ASSERT_EQ(x.finish(), answers.substr(0, at)) << c.name << ": write stalled at " << at;
      EXPECT_EQ(state->stats().connections, 0U);
    }
  });
}

TEST(Faults, StallThatOutlastsItsTimeEndsInA408OrAClose) {
  for_each_conversation([](const Site& site, const Conversation& c, const std::string& answers) {
    ServerOptions options;
    options.header_timeout = options.read_timeout = options.idle_timeout = 20ms;
    const auto state = site.state(options);
    for (const std::size_t at : some_offsets(c.requests.size())) {
      Dialogue x(state, [](FaultyConn&) {});
      x.send(std::string_view(c.requests).substr(0, at));
      const std::string got = x.hear_out();
      ASSERT_TRUE(whole_answers(got, answers)) << c.name << ": stalled at " << at;
      if (c.whole) {
        ASSERT_NE(got, answers) << c.name << ": stalled at " << at;
      }
    }
  });
}

TEST(Faults, ReaderThatStopsAtAnyByteIsCutThere) {
  for_each_conversation([](const Site& site, const Conversation& c, const std::string& answers) {
    ServerOptions options;
    options.write_timeout = 20ms;
    const auto state = site.state(options);
    for (const std::size_t at : some_offsets(answers.size())) {
      const std::string got =
          exchange(state, c.requests, [&](FaultyConn& f) { f.stall_writes_at_byte(at); });
      // A machine under load may be slower than the time-out, and the cut comes before the stall.
      ASSERT_TRUE(answers.substr(0, at).starts_with(got)) << c.name << ": stalled at " << at;
    }
    expect_cut(state->stats().cut, some_offsets(answers.size()).size(), c);
  });
}

}  // namespace
}  // namespace treadle::http::detail
