// The main of every test program. One process or several: on several ranks, a failure on any rank
// fails the test on all of them, and rank 0 prints it with the rank's number.
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>
#include <string>

#include "mercer/base/instructions.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/comm/environment.hpp"

namespace {

class AllRanksListener : public testing::EmptyTestEventListener {
 public:
  explicit AllRanksListener(testing::TestEventListener* printer) : printer_(printer) {}
  ~AllRanksListener() override { delete printer_; }

  void OnTestProgramStart(const testing::UnitTest& t) override {
    if (root()) printer_->OnTestProgramStart(t);
  }
  void OnTestStart(const testing::TestInfo& info) override {
    if (root()) printer_->OnTestStart(info);
    failures_.str({});
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.failed())
      failures_ << "[ rank " << comm_.rank() << " ] "
                << (result.file_name() ? result.file_name() : "?") << ":" << result.line_number()
                << "\n"
                << result.message() << "\n";
    else if (root())
      printer_->OnTestPartResult(result);
  }
  void OnTestEnd(const testing::TestInfo& info) override {
    if (!agreed_) {
      agreed_ = true;
      const std::string mine = failures_.str();
      const auto all = comm_.all_gather(std::span<const char>(mine.data(), mine.size()));
      if (root() && !all.empty()) std::printf("%.*s", static_cast<int>(all.size()), all.data());
      if (!all.empty() && mine.empty()) ADD_FAILURE() << "failed on another rank";
      agreed_ = false;
    }
    if (root()) printer_->OnTestEnd(info);
  }
  void OnTestIterationEnd(const testing::UnitTest& t, int iteration) override {
    if (root()) printer_->OnTestIterationEnd(t, iteration);
  }
  void OnTestProgramEnd(const testing::UnitTest& t) override {
    if (root()) printer_->OnTestProgramEnd(t);
  }

 private:
  bool root() const { return comm_.root(); }
  testing::TestEventListener* printer_;
  mercer::comm::Communicator comm_ = mercer::comm::Communicator::world();
  std::ostringstream failures_;
  bool agreed_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  // What an older processor computes: MERCER_TEST_INSTRUCTIONS=baseline|avx2|avx512 (tests/run.sh).
  if (const char* most = std::getenv("MERCER_TEST_INSTRUCTIONS"))
    mercer::hold_instructions(mercer::parse_instructions(most));
  mercer::comm::Environment mpi(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  listeners.Append(new AllRanksListener(listeners.Release(listeners.default_result_printer())));
  const int failed = RUN_ALL_TESTS();
  return mercer::comm::Communicator::world().all_reduce(failed, mercer::comm::Op::max);
}
