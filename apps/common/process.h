// What a program asks of the process it runs in.
#pragma once

namespace treadle::apps {

// Opens /dev/null in place of each of descriptors 0, 1 and 2 that is closed. Else what the runtime
// opens would get their numbers, and log lines would end up in it. To be called before anything
// else opens a descriptor. False when that cannot be done.
[[nodiscard]] bool open_standard_descriptors() noexcept;

}  // namespace treadle::apps
