#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace load {

// The flags of a generator, or of a server in C++ that is compared: "--name value", or "--name"
// alone for a switch. Each is asked for once; what nobody asked for is refused by done(). Bad input
// ends the program with code 2 and its name.
class Flags {
 public:
  Flags(int argc, char** argv, std::string usage);

  std::int64_t integer(const std::string& name, std::int64_t otherwise, std::int64_t least,
                       std::int64_t most);
  double real(const std::string& name, double otherwise, double least, double most);
  std::string text(const std::string& name, const std::string& otherwise);
  bool given(const std::string& name);
  void done() const;
  // Ends the program with code 2, `why` and the usage.
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  struct Flag {
    std::string name;
    std::string value;
    bool has_value = false;
    bool asked = false;
  };
  Flag* find(const std::string& name, bool with_value);

  std::string program_;
  std::string usage_;
  std::vector<Flag> flags_;
};

// As many descriptors as the hard limit allows.
void raise_descriptor_limit();

// Ends the program with code 1 and this on standard error.
[[noreturn]] void die(const std::string& why);

// Nanoseconds of the monotonic clock.
std::int64_t now_ns();

}  // namespace load
