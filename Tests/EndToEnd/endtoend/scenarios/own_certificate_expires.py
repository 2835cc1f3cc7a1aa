"""The client certificate of the balancer's own probes expires while clients are at work, and is renewed later.

Every apiserver then answers the probes with 401, and serves clients as before: a fault of the balancer's own host. Promised
of Fairlead: no GET fails, no watch is reset, no backend is called down, and the fault is shown as one of this host until the
renewal.
"""

from __future__ import annotations

import os
import time

from ..balancer import Options
from ..comparison import Comparison
from ..failure import Failure
from ..scenario import Result, Scenario, Stage
from ..waiting import now, observe, wait_until
from .own_faults import AFTER_FAULT_SECONDS, HostFaults, Span, judge_own_faults

SUBJECT = "/CN=fairlead"
# Long enough for all balancers and clients to start.
LIFETIME_SECONDS = 20
EXPIRED_SECONDS = 5.0


class OwnCertificateExpires(Scenario):
    name = "own-certificate-expires"
    summary = f"the client certificate of the balancer's probes expires, and is renewed {EXPIRED_SECONDS:.0f} s later"

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        authority = stage.cluster.trust.kubernetes
        prober, moment = authority.issue_for("short-lived", SUBJECT, LIFETIME_SECONDS)
        expiry = moment - time.time() + now()
        with Comparison(stage, self.name, options=Options(prober=prober)) as comparison, HostFaults(stage) as host_faults:
            if now() > expiry - 1:
                raise Failure("this machine is too busy: the certificate expired before all clients were at work")
            observe(expiry - now() + EXPIRED_SECONDS)
            renewed = authority.issue("renewed", SUBJECT)
            os.replace(renewed.key, prober.key)
            os.replace(renewed.certificate, prober.certificate)
            for balancer in comparison.balancers:
                balancer.use_renewed_prober(prober)
            mended = now()
            wait_until(lambda: not host_faults.last, "the fault is over", within=15, log=result.log)
            stage.balancer.wait_until_all_up()
            over = now()
            result.notes.append(f"all was well {over - mended:.1f} s after the renewal")
            observe(AFTER_FAULT_SECONDS)
            outcomes, _ = comparison.finish()
        judge_own_faults(stage, result, outcomes, host_faults, [Span(expiry, over, "expired certificate", "expired on")])
        failed = [each for each in outcomes[0].records.requests if each.failed]
        result.expect(not failed, f"{len(failed)} GETs failed though only the probes had no valid certificate")
        degraded = outcomes[0].watcher.called("degraded", expiry)
        result.expect(not degraded, f"{', '.join(sorted(degraded))} called degraded for the balancer's own certificate")
        return result
