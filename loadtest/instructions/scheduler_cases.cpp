#include <treadle/go.h>

#include "cases.h"

namespace instructions {

std::vector<Case> scheduler_cases() {
  return {
      {"gosched", 10'000, 1,
       [] {
         return Body([](std::int64_t n) {
           for (std::int64_t i = 0; i < n; ++i) treadle::gosched();
         });
       }},
  };
}

}  // namespace instructions
