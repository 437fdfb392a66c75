#include "mercer/report/phases.hpp"

#include <algorithm>

namespace mercer::report {

void Phases::add(const std::string& name, double seconds) {
  const auto known = std::ranges::find(seconds_, name, &std::pair<std::string, double>::first);
  if (known != seconds_.end())
    known->second += seconds;
  else
    seconds_.emplace_back(name, seconds);
}

std::vector<Phases::Summary> Phases::summary(const comm::Communicator& comm) const {
  std::vector<Summary> result;
  for (const auto& [name, seconds] : seconds_)
    result.push_back({name, comm.all_reduce(seconds, comm::Op::min),
                      comm.all_reduce(seconds, comm::Op::sum) / comm.size(),
                      comm.all_reduce(seconds, comm::Op::max)});
  return result;
}

}  // namespace mercer::report
