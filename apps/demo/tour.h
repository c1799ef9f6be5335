// The stations of the tour, beside the basic ones in main.cpp.
#pragma once

#include <chrono>
#include <optional>

#include <treadle/http/router.h>

namespace treadle::apps {

// The query's ms=N, at most a minute; when it is none, the answer is 400 with the reason.
std::optional<std::chrono::milliseconds> milliseconds_asked(http::Response& res,
                                                            const http::Request& req);

void add_data_routes(http::Router& router);    // path values, queries, forms, JSON, cookies
void add_stream_routes(http::Router& router);  // streams, events, hints, upgrades, deadlines
void add_guard_routes(http::Router& router);   // middleware, and what goes wrong

}  // namespace treadle::apps
