// The page at GET /, embedded from index.html when the app is built.
#pragma once

#include <string_view>

namespace treadle::apps {

extern const std::string_view kDemoPage;

}  // namespace treadle::apps
