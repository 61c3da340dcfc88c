//! Closed forms of queueing theory. Pure.

/// Returns the average number in progress by Little's law: the arrivals per second times the duration in seconds.
pub(crate) fn under_way(arrivals_per_second: f64, seconds: f64) -> f64 {
    arrivals_per_second * seconds
}

/// An M/M/c queue: Poisson arrivals, exponential service times and `servers` servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Servers {
    pub(crate) arrivals_per_second: f64,
    pub(crate) service_seconds: f64,
    pub(crate) servers: u32,
}

impl Servers {
    /// Returns the fraction of the servers that is busy. At 1 or above, the queue grows without bound.
    pub(crate) fn utilisation(self) -> f64 {
        under_way(self.arrivals_per_second, self.service_seconds) / f64::from(self.servers)
    }

    /// Returns the probability that an arrival must wait, by Erlang C. Returns 1 if the servers cannot keep up.
    pub(crate) fn probability_of_waiting(self) -> f64 {
        let utilisation = self.utilisation();
        if utilisation >= 1.0 {
            return 1.0;
        }
        // the recurrence for Erlang B avoids overflow and cancellation
        let offered = under_way(self.arrivals_per_second, self.service_seconds);
        let blocked = (1..=self.servers).fold(1.0, |blocked, server| {
            let carried = offered * blocked;
            carried / (f64::from(server) + carried)
        });
        blocked / (1.0 - utilisation * (1.0 - blocked))
    }

    /// Returns the mean waiting time of an arrival, in seconds.
    #[cfg(test)]
    pub(crate) fn mean_wait(self) -> f64 {
        self.probability_of_waiting() / self.spare_per_second()
    }

    /// Returns the waiting time that a fraction `share` of the arrivals do not exceed, in seconds.
    pub(crate) fn wait_of(self, share: f64) -> f64 {
        let waiting = self.probability_of_waiting();
        if waiting <= 1.0 - share { 0.0 } else { (waiting / (1.0 - share)).ln() / self.spare_per_second() }
    }

    /// Returns the spare capacity in arrivals per second. It is never negative.
    fn spare_per_second(self) -> f64 {
        (f64::from(self.servers) / self.service_seconds - self.arrivals_per_second).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(arrivals_per_second: f64, service_seconds: f64, servers: u32) -> Servers {
        Servers { arrivals_per_second, service_seconds, servers }
    }

    #[test]
    fn erlang_c_is_what_the_tables_of_it_say() {
        // one server: the probability equals the utilisation; two servers at load 1: 1/3; ten servers at load 8: 0.409
        assert!((servers(0.7, 1.0, 1).probability_of_waiting() - 0.7).abs() < 1e-12);
        assert!((servers(1.0, 1.0, 2).probability_of_waiting() - 1.0 / 3.0).abs() < 1e-12);
        assert!((servers(8.0, 1.0, 10).probability_of_waiting() - 0.4092).abs() < 1e-4);
    }

    #[test]
    fn a_thousand_servers_overflow_nothing() {
        let busy = servers(950.0, 1.0, 1_000);
        assert!(busy.probability_of_waiting() > 0.0 && busy.probability_of_waiting() < 0.2);
        assert!(busy.wait_of(0.95).is_finite());
    }

    #[test]
    fn what_cannot_keep_up_waits_for_ever() {
        assert_eq!(servers(10.0, 1.0, 10).probability_of_waiting(), 1.0);
        assert!(servers(10.0, 1.0, 10).mean_wait().is_infinite());
    }

    #[test]
    fn the_wait_of_a_share_grows_with_the_share() {
        let queue = servers(9.0, 1.0, 10);
        assert_eq!(queue.wait_of(0.1), 0.0);
        assert!(queue.wait_of(0.95) < queue.wait_of(0.99));
    }
}
