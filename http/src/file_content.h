// Answers with the content of a file: conditions, coding, ranges.
#pragma once

#include <treadle/http/request.h>
#include <treadle/http/response.h>

#include "file_etag.h"
#include "file_store.h"

namespace treadle::http::detail {

// Answers a GET or HEAD with the file `found`. Parks while the client reads slowly; disk waits
// never hold a P.
void send_found_file(Response& res, const Request& req, FileStore::Found found,
                     const EntityTagger& tagger);

}  // namespace treadle::http::detail
