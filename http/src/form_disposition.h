// What the head of a part says about it (RFC 7578 4).
#pragma once

#include <expected>
#include <optional>
#include <string>

#include <treadle/http/error.h>
#include <treadle/http/header.h>

namespace treadle::http {

struct FormDisposition {
  std::string name;
  std::optional<std::string> filename;  // nothing: a plain field
};

struct FormDispositionError {
  Errc error;       // malformed_form or unsupported_media_type
  const char* why;  // for the operator
};

// Reads a part's head. Content-Disposition must be there, once, be form-data and have one name;
// otherwise two readers could see different fields. Names are taken as they come: what browsers
// escape in them (%22 for a quote) cannot be told from the same text in the name itself.
//
// `filename*` (RFC 8187), which RFC 7578 4.2 forbids, counts only where there is no `filename`:
// some clients send nothing else for a name beyond ASCII. It must be UTF-8.
//
// A Content-Transfer-Encoding that would have to be undone is unsupported (RFC 7578 4.7).
std::expected<FormDisposition, FormDispositionError> read_form_disposition(HeaderView part);

}  // namespace treadle::http
