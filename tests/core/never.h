// What a case of a select does that must not be taken.
#pragma once

#include <gtest/gtest.h>

namespace treadle::test {

inline constexpr auto kNever = [] { ADD_FAILURE() << "this case cannot be ready"; };

}  // namespace treadle::test
