// The cases of treadle-instructions; count.h says how they are counted.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "count.h"

namespace instructions {

struct Case {
  std::string_view name;
  std::int64_t count;  // operations of the smaller run, a multiple of step
  std::int64_t step;   // operations that can only be done together
  Body (*prepare)();
};

std::vector<Case> scheduler_cases();
std::vector<Case> server_cases();

}  // namespace instructions
