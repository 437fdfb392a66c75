#include "mercer/comm/same.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::comm {
namespace {

constexpr std::size_t kShown = 200;  // characters of a value

/// "NAME\0VALUE\0" of each fact, one after the other.
std::string joined(const std::vector<Fact>& facts) {
  std::string text;
  for (const auto& [name, value] : facts) {
    text.append(name).push_back('\0');
    text.append(value).push_back('\0');
  }
  return text;
}

std::vector<Fact> separated(const std::string& text) {
  std::vector<Fact> facts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t name = text.find('\0', at), value = text.find('\0', name + 1);
    facts.push_back({text.substr(at, name - at), text.substr(name + 1, value - name - 1)});
    at = value + 1;
  }
  return facts;
}

/// The value of `name`; nullptr where there is none.
const std::string* value_of(const std::vector<Fact>& facts, const std::string& name) {
  const auto at = std::ranges::find(facts, name, &Fact::name);
  return at == facts.end() ? nullptr : &at->value;
}

bool alike(const std::string* a, const std::string* b) {
  return a == nullptr || b == nullptr ? a == b : *a == *b;
}

std::string shown(const std::string* value) {
  if (value == nullptr) return "absent";
  if (value->empty()) return "empty";
  return value->size() <= kShown ? *value : value->substr(0, kShown) + "...";
}

}  // namespace

bool same(const Communicator& comm, const std::vector<Fact>& facts) {
  const auto mine = std::bit_cast<std::int64_t>(hash_of(joined(facts)));
  std::array<std::int64_t, 2> extremes{mine, ~mine};  // the least ~mine is ~ the largest hash
  comm.all_reduce(std::span<std::int64_t>(extremes), Op::min);
  return extremes[0] == ~extremes[1];
}

void require_same(const Communicator& comm, const std::vector<Fact>& facts,
                  const std::string& advice) {
  if (same(comm, facts)) return;
  const auto of_root = separated(comm.broadcast(joined(facts), 0));
  together(comm, [&] {
    for (const auto* list : {&of_root, &facts})
      for (const auto& [name, value] : *list) {
        const auto *there = value_of(of_root, name), *here = value_of(facts, name);
        if (!alike(there, here))
          throw InputError("the ranks differ: {} is {} on rank 0 and {} on rank {}: {}", name,
                           shown(there), shown(here), comm.rank(), advice);
      }
  });
  throw InputError("the ranks differ in what they are given: {}", advice);
}

}  // namespace mercer::comm
