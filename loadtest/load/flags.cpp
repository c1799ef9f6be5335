#include "flags.h"

#include <errno.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace load {

Flags::Flags(int argc, char** argv, std::string usage) : program_(argv[0]), usage_(usage) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.size() < 3 || word.compare(0, 2, "--") != 0) refuse("\"" + word + "\" is no flag");
    Flag flag;
    flag.name = word.substr(2);
    if (i + 1 < argc && std::string(argv[i + 1]).compare(0, 2, "--") != 0) {
      flag.value = argv[++i];
      flag.has_value = true;
    }
    flags_.push_back(flag);
  }
}

Flags::Flag* Flags::find(const std::string& name, bool with_value) {
  for (Flag& flag : flags_) {
    if (flag.name != name) continue;
    if (flag.asked) refuse("--" + name + " is given twice");
    flag.asked = true;
    if (flag.has_value != with_value)
      refuse("--" + name + (with_value ? " needs a value" : " takes no value"));
    return &flag;
  }
  return nullptr;
}

std::int64_t Flags::integer(const std::string& name, std::int64_t otherwise, std::int64_t least,
                            std::int64_t most) {
  const Flag* flag = find(name, true);
  if (!flag) return otherwise;
  char* end = nullptr;
  const long long value = std::strtoll(flag->value.c_str(), &end, 10);
  if (flag->value.empty() || *end || value < least || value > most)
    refuse("--" + name + " must be a whole number from " + std::to_string(least) + " to " +
           std::to_string(most) + ", not \"" + flag->value + "\"");
  return value;
}

double Flags::real(const std::string& name, double otherwise, double least, double most) {
  const Flag* flag = find(name, true);
  if (!flag) return otherwise;
  char* end = nullptr;
  const double value = std::strtod(flag->value.c_str(), &end);
  if (flag->value.empty() || *end || !(value >= least && value <= most))
    refuse("--" + name + " must be a number from " + std::to_string(least) + " to " +
           std::to_string(most) + ", not \"" + flag->value + "\"");
  return value;
}

std::string Flags::text(const std::string& name, const std::string& otherwise) {
  const Flag* flag = find(name, true);
  return flag ? flag->value : otherwise;
}

bool Flags::given(const std::string& name) { return find(name, false) != nullptr; }

void Flags::done() const {
  for (const Flag& flag : flags_)
    if (!flag.asked) refuse("there is no --" + flag.name);
}

void Flags::refuse(const std::string& why) const {
  std::fprintf(stderr, "%s: %s\n%s", program_.c_str(), why.c_str(), usage_.c_str());
  std::exit(2);
}

void raise_descriptor_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

void die(const std::string& why) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, why.c_str());
  std::exit(1);
}

std::int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

}  // namespace load
