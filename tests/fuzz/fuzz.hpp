#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mercer::fuzz {

/// One input, as bytes: an array whose front is eaten by what needs a choice.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : rest_(bytes) {}
  std::uint8_t byte();  ///< 0 at the end
  std::size_t below(std::size_t count) { return count > 0 ? byte() % count : 0; }
  bool flag() { return (byte() & 1) != 0; }
  double number();  ///< one that is hard to take: NaN, a huge one, a subnormal, ... or eight bytes
  std::string text(std::size_t most);
  std::string rest() const { return {rest_.begin(), rest_.end()}; }
  bool empty() const { return rest_.empty(); }

 private:
  std::span<const std::uint8_t> rest_;
};

// A target defines these two. Errors of class mercer::Error are answers; any other exception, a
// signal, an allocation out of proportion (see loop.cpp) or 20 seconds are findings.

void try_input(Input input);
/// What mutations begin with: the inputs that once did harm among them. `files`: of the command
/// line.
std::vector<std::string> seeds(const std::vector<std::string>& files);

/// Bytes in a file of this process's own, which is in memory and is overwritten by the next one
/// with that ending. Returns its path.
std::string as_file(const std::string& bytes, const std::string& ending);

}  // namespace mercer::fuzz
