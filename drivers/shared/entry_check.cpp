#include "shared/entry_check.hpp"

#include "mercer/jobs/matrix.hpp"

namespace mercer::drivers {

bool check_kernel(Session& session, const gram::Source& kernel, const dist::RowBlock<double>& X) {
  const auto entries = jobs::check_entries(kernel, X, session.options().seed, session);
  if (!entries) return true;
  session.record().result["check_entries"] = entries->difference;
  session.say("check   {}", entries->text());
  return entries->good();
}

}  // namespace mercer::drivers
