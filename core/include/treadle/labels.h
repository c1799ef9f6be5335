// Names and labels of goroutines, for dumps and logs.
//
//   treadle::go([] { serve(); }, {.name = "server", .labels = {{"shard", "7"}}});
//   treadle::LabelScope scope{{"request", id}};   // also on every goroutine started inside
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include <treadle/go.h>

namespace treadle {

// The calling goroutine's name; empty takes it away. A plain thread has one too.
// Dumps show about the first 190 bytes of name and labels together, control characters as '?'.
// Never parks; any thread.
void set_goroutine_name(std::string_view name);
// Empty when it has none. Never parks; any thread.
std::string goroutine_name();

// The calling goroutine's labels, sorted by key. Never parks; any thread.
Labels goroutine_labels();
// The value of one, empty when there is none. Never parks; any thread.
std::string goroutine_label(std::string_view key);
// Replaces all labels of the calling goroutine; of equal keys the last counts. Goroutines that it
// starts from now on begin with these; those started before keep theirs. Never parks; any thread.
void set_goroutine_labels(Labels labels);

// Adds labels to the calling goroutine's until the scope ends. Goroutines started inside keep
// them for their whole life. Scopes nest; one must end on the goroutine that began it.
class LabelScope {
 public:
  explicit LabelScope(Labels labels);
  LabelScope(std::initializer_list<Labels::value_type> labels) : LabelScope(Labels(labels)) {}
  ~LabelScope();
  LabelScope(const LabelScope&) = delete;
  LabelScope& operator=(const LabelScope&) = delete;

 private:
  std::shared_ptr<const Labels> previous_;
};

}  // namespace treadle
